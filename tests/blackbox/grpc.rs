//! gRPC through the load balancer, with grpcio's client and server.
