/* The peer of bench_modbus: libmodbus' blocking client over many connections in turn, every value compared.

   libmodbus_peer PORT CONNECTIONS METERS SECONDS   prints polls and the seconds they took; exit code 1 when a value is
   wrong or a read fails. */

#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REGISTERS 20

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int read_all(modbus_t *line, int meters)
{
    uint16_t words[REGISTERS];
    for (int unit = 1; unit <= meters; unit++) {
        if (modbus_set_slave(line, unit) || modbus_read_registers(line, 0, REGISTERS, words) != REGISTERS) {
            fprintf(stderr, "unit %d: %s\n", unit, modbus_strerror(errno));
            return 0;
        }
        for (int i = 0; i < REGISTERS; i++) {
            if (words[i] != (uint16_t)(unit * 251 + i * 7)) {
                fprintf(stderr, "unit %d: register %d is %d\n", unit, i, words[i]);
                return 0;
            }
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "libmodbus_peer PORT CONNECTIONS METERS SECONDS\n");
        return 2;
    }
    int port = atoi(argv[1]), connections = atoi(argv[2]), meters = atoi(argv[3]);
    double seconds = atof(argv[4]);
    modbus_t **lines = calloc(connections, sizeof *lines);
    for (int i = 0; i < connections; i++) {
        lines[i] = modbus_new_tcp("127.0.0.1", port);
        if (lines[i] == NULL || modbus_connect(lines[i])) {
            fprintf(stderr, "connection %d: %s\n", i, modbus_strerror(errno));
            return 1;
        }
    }
    long polls = 0;
    double begun = now_s(), spent = 0;
    for (int i = 0; spent < seconds; i = (i + 1) % connections) {
        if (!read_all(lines[i], meters))
            return 1;
        polls += meters;
        spent = now_s() - begun;
    }
    printf("%ld %.6f\n", polls, spent);
    for (int i = 0; i < connections; i++) {
        modbus_close(lines[i]);
        modbus_free(lines[i]);
    }
    free(lines);
    return 0;
}
