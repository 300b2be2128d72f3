"""grpcio as the peer, for the tests of both directions."""

import contextlib
import threading
from concurrent import futures

import grpc

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Each channel gets its own connection; otherwise a process shares them.
    ("grpc.use_local_subchannel_pool", 1),
]


class Service:
    """The methods of `SERVED`, implemented with grpcio.

    Attributes:
        cancelled: set once a call of Forever has been cancelled.
        seen: the metadata of the last call.
    """

    def __init__(self):
        self.cancelled = threading.Event()
        self.seen = {}

    def service(self, details):
        self.seen = dict(details.invocation_metadata)
        return {
            "/t.T/Echo": grpc.unary_unary_rpc_method_handler(lambda message, _: message),
            "/t.T/Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
            "/t.T/Forever": grpc.unary_unary_rpc_method_handler(self.forever),
            "/t.T/Count": grpc.unary_stream_rpc_method_handler(self.count),
            "/t.T/Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "/t.T/Chat": grpc.stream_stream_rpc_method_handler(lambda messages, _: messages),
        }.get(details.method)

    def refuse(self, message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, message.decode())

    def forever(self, message, context):
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(20)
        return message

    def count(self, message, _context):
        yield from (b"%d" % number for number in range(int(message)))

    def sum(self, messages, _context):
        return b"%d" % sum(int(message) for message in messages)


@contextlib.contextmanager
def grpcio_server(address, credentials=None):
    """Serve with grpcio at an address (port 0 picks one); return the service and the port."""
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(16), (service,), options=OPTIONS)
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield service, port
    finally:
        server.stop(0.5).wait()
