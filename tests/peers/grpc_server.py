"""A gRPC server: python3 grpc_server.py ADDRESS [CERT KEY]. Messages are bytes as they are."""

import sys
import threading
from concurrent import futures

import grpc


def told(context):
    """What came with the call, back to the client."""
    metadata = dict(context.invocation_metadata())
    back = [(k, v) for k, v in metadata.items() if k.startswith("x-test")]
    context.send_initial_metadata(back)
    context.set_trailing_metadata([("x-trailing", "end"), ("x-trailing-bin", b"\x00\xff")])
    return metadata


def unary(request, context):
    told(context)
    return request


def fail(request, context):
    # Nothing is sent before: a response of trailers only.
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: " + request.decode())


def server_stream(request, context):
    told(context)
    for number in range(int(request)):
        yield str(number).encode()


def client_stream(requests, context):
    told(context)
    return str(sum(len(request) for request in requests)).encode()


def bidi(requests, context):
    told(context)
    for request in requests:
        yield request.upper()


def hang(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    print("hanging", flush=True)
    ended.wait()
    print("cancelled", flush=True)
    return b""


def health(request, context):
    return b"\x08\x01"


class Handlers(grpc.GenericRpcHandler):
    METHODS = {
        "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/test.Echo/Fail": grpc.unary_unary_rpc_method_handler(fail),
        "/test.Echo/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "/test.Echo/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "/test.Echo/Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "/test.Echo/Hang": grpc.unary_unary_rpc_method_handler(hang),
        "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(health),
    }

    def service(self, details):
        return self.METHODS.get(details.method)


def main(address, cert=None, key=None):
    options = [
        ("grpc.max_receive_message_length", 32 << 20),
        ("grpc.max_send_message_length", 32 << 20),
        ("grpc.so_reuseport", 0),
    ]
    # A call that hangs holds a thread.
    server = grpc.server(futures.ThreadPoolExecutor(160), options=options)
    server.add_generic_rpc_handlers((Handlers(),))
    if cert:
        with open(key, "rb") as k, open(cert, "rb") as c:
            credentials = grpc.ssl_server_credentials([(k.read(), c.read())])
        server.add_secure_port(address, credentials)
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


main(*sys.argv[1:])
