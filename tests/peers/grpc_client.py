"""A gRPC client: python3 grpc_client.py ADDRESS SCENARIO [ROOT NAME]. Says what went wrong and exits 1, or prints ok."""

import queue
import sys
import threading

import grpc

TIMEOUT = 30


def call(channel, kind, method):
    return getattr(channel, kind)("/test.Echo/" + method)


def unary(channel):
    echo = call(channel, "unary_unary", "Unary")
    sent = [("x-test", "a b"), ("x-test-bin", b"\x00\x01\xff")]
    answer, done = echo.with_call(b"hello", timeout=TIMEOUT, metadata=sent)
    assert answer == b"hello", answer
    initial, trailing = dict(done.initial_metadata()), dict(done.trailing_metadata())
    assert initial["x-test"] == "a b", initial
    assert initial["x-test-bin"] == b"\x00\x01\xff", initial
    assert trailing["x-trailing"] == "end", trailing
    assert trailing["x-trailing-bin"] == b"\x00\xff", trailing
    assert done.code() == grpc.StatusCode.OK
    # An empty message has a frame all the same.
    assert echo(b"", timeout=TIMEOUT) == b""


def fail(channel):
    try:
        call(channel, "unary_unary", "Fail")(b"later", timeout=TIMEOUT)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        assert error.details() == "not today: later", error


def unimplemented(channel):
    try:
        call(channel, "unary_unary", "None")(b"", timeout=TIMEOUT)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def server_stream(channel):
    got = list(call(channel, "unary_stream", "ServerStream")(b"1000", timeout=TIMEOUT))
    assert got == [str(n).encode() for n in range(1000)], len(got)


def client_stream(channel):
    messages = (b"x" * 1000 for _ in range(500))
    got = call(channel, "stream_unary", "ClientStream")(messages, timeout=TIMEOUT)
    assert got == b"500000", got


def bidi(channel):
    """Each message is sent only when the one before has come back: nothing may be held."""
    outgoing = queue.Queue()
    answers = call(channel, "stream_stream", "Bidi")(iter(outgoing.get, None), timeout=TIMEOUT)
    for number in range(50):
        word = "word%d" % number
        outgoing.put(word.encode())
        got = next(answers)
        assert got == word.upper().encode(), got
    outgoing.put(None)
    assert list(answers) == []
    assert answers.code() == grpc.StatusCode.OK


def large(channel):
    message = bytes(range(256)) * (8 << 12)
    assert len(message) == 8 << 20
    assert call(channel, "unary_unary", "Unary")(message, timeout=TIMEOUT) == message


def many(channel):
    """100 calls at once on one connection, twice."""
    echo = call(channel, "unary_unary", "Unary")
    for _ in range(2):
        calls = [echo.future(str(n).encode() * 1000, timeout=TIMEOUT) for n in range(100)]
        for number, one in enumerate(calls):
            assert one.result() == str(number).encode() * 1000


def cancel(channel):
    one = call(channel, "unary_unary", "Hang").future(b"", timeout=TIMEOUT)
    print("calling", flush=True)
    sys.stdin.readline()
    assert one.cancel()


def deadline(channel):
    try:
        call(channel, "unary_unary", "Hang")(b"", timeout=0.5)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def unavailable(channel):
    """With no server that answers gRPC's client gets a status of its own, and an end."""
    try:
        call(channel, "unary_unary", "Unary")(b"", timeout=TIMEOUT)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error


def main(address, scenario, root=None, name=None):
    options = [
        ("grpc.max_receive_message_length", 32 << 20),
        ("grpc.max_send_message_length", 32 << 20),
        ("grpc.enable_retries", 0),
    ]
    if root:
        options.append(("grpc.ssl_target_name_override", name))
        with open(root, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        globals()[scenario](channel)
    print("ok")


main(*sys.argv[1:])
