//! Streams that are one of several kinds.

/// Makes an enum over streams a stream itself, a variant at a time: `forward_stream!(Wire: Self::Plain(s) => s, …)`.
macro_rules! forward_stream {
    ($name:ident: $($variant:pat => $inner:expr),+) => {
        impl ::tokio::io::AsyncRead for $name {
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut ::tokio::io::ReadBuf<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($variant => ::std::pin::Pin::new($inner).poll_read(cx, buf)),+ }
            }
        }

        impl ::tokio::io::AsyncWrite for $name {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() { $($variant => ::std::pin::Pin::new($inner).poll_write(cx, buf)),+ }
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                slices: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() {
                    $($variant => ::std::pin::Pin::new($inner).poll_write_vectored(cx, slices)),+
                }
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($variant => ::std::pin::Pin::new($inner).poll_flush(cx)),+ }
            }

            fn poll_shutdown(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($variant => ::std::pin::Pin::new($inner).poll_shutdown(cx)),+ }
            }
        }
    };
}
