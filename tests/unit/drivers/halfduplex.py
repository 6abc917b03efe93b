"""What a half-duplex line does with the bytes of one transaction, without the line: for tests of the protocols."""

from collections.abc import Iterable

from drivers.outcome import Continue, ExceptionReply, Exchange, Judged, Reply, Violation

Ending = Reply | ExceptionReply | Continue


def heard(question: Exchange, pieces: Iterable[bytes]) -> tuple[Ending | None, list[Judged]]:
    """Feed pieces to a fresh scanner; return the answer that ends the transaction, if any, and what was wrong."""
    scanner = question.scanner()
    wrong: list[Judged] = []
    for piece in pieces:
        for item in scanner.feed(piece):
            judged = item if isinstance(item, Violation) else question.judge(item)
            if isinstance(judged, Violation):
                wrong.append(judged)
            elif judged is not None:
                return judged, wrong
    return None, wrong


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]
