//! TLS on the loop: rustls through futures-rustls, over the futures-io traits of our streams.
#![cfg(unix)] // descriptors and their options

#[path = "../../../tests/support/net.rs"]
mod net;
#[path = "support/program.rs"]
mod program;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector, client, server};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Version};
use loopline::hyper_rt::{Io, LoopExecutor};
use loopline::net::TcpStream;
use loopline::spawn;
use loopline::time::timeout;
use net::{pair, soon, with_peer};
use program::Program;
use support::{block_on, block_on_paused, scaled};

/// A client that trusts one certificate.
fn connector(certificate: CertificateDer<'static>, protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// A server named localhost, and a client that trusts it.
fn ends() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), connector(made.cert.der().clone(), &[]))
}

fn localhost() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

type Pair = (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>);

async fn secured() -> Pair {
    let (acceptor, connector) = ends();
    let (near, far) = pair().await;
    let (near, far) = soon(join(connector.connect(localhost(), near), acceptor.accept(far))).await;
    (near.unwrap(), far.unwrap())
}

#[test]
fn both_directions_flow_at_once_and_the_end_is_told() {
    block_on(async {
        let (near, far) = secured().await;
        let echo = spawn(async move {
            let (mut reader, mut writer) = far.split();
            futures::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.close().await.unwrap();
        });
        let sent: Vec<u8> = (0..scaled(4_000_000)).map(|n| (n % 251) as u8).collect();
        let (mut reader, mut writer) = near.split();
        let mut received = Vec::new();
        let writing = async {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        };
        let ((), read) = soon(join(writing, reader.read_to_end(&mut received))).await;
        // An end without close_notify would be an error.
        assert_eq!(read.unwrap(), sent.len());
        assert_eq!(received, sent);
        soon(echo).await.unwrap();
    });
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    block_on(async {
        let ((acceptor, _), (_, stranger)) = (ends(), ends());
        let (near, far) = pair().await;
        let (client, server) =
            soon(join(stranger.connect(localhost(), near), acceptor.accept(far))).await;
        assert_eq!(client.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(server.unwrap_err().kind(), ErrorKind::InvalidData, "by the client's alert");
    });
}

#[test]
fn an_end_without_close_notify_is_an_error_after_the_data() {
    block_on(async {
        let (mut near, mut far) = secured().await;
        far.write_all(b"all of it?").await.unwrap();
        far.flush().await.unwrap();
        let (stream, _) = far.into_inner();
        drop(stream);
        let mut received = Vec::new();
        let error = soon(near.read_to_end(&mut received)).await.unwrap_err();
        assert_eq!((error.kind(), &*received), (ErrorKind::UnexpectedEof, &b"all of it?"[..]));
    });
}

#[test]
fn half_a_record_is_an_error_and_no_data() {
    block_on(async {
        let (mut near, mut far) = secured().await;
        far.write_all(b"whole").await.unwrap();
        far.flush().await.unwrap();
        let (stream, mut keys) = far.into_inner();
        keys.writer().write_all(b"never whole").unwrap();
        let mut record = Vec::new();
        keys.write_tls(&mut record).unwrap();
        stream.write_all(&record[..record.len() - 1]).await.unwrap();
        drop(stream);
        let mut received = Vec::new();
        let error = soon(near.read_to_end(&mut received)).await.unwrap_err();
        assert_eq!((error.kind(), &*received), (ErrorKind::UnexpectedEof, &b"whole"[..]));
    });
}

#[test]
fn what_is_no_tls_is_refused_with_an_alert() {
    block_on(async {
        let (acceptor, _) = ends();
        let (stream, mut peer) = with_peer().await;
        peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let error = soon(acceptor.accept(stream)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let mut alert = Vec::new();
        let _ = peer.read_to_end(&mut alert);
        assert_eq!(alert.first(), Some(&21), "an alert record: {alert:?}");
    });
}

#[test]
fn a_client_that_says_nothing_is_given_up_by_a_limit_around_the_handshake() {
    block_on_paused(async {
        let (acceptor, _) = ends();
        let (stream, mut peer) = with_peer().await;
        assert!(timeout(Duration::from_secs(10), acceptor.accept(stream)).await.is_err());
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "closed");
    });
}

/// Asks the example by one version of HTTP.
async fn asks(
    program: &Program,
    certificate: CertificateDer<'static>,
    protocol: &str,
) -> (Version, String) {
    let stream = TcpStream::connect(program.address).await.unwrap();
    let name = ServerName::IpAddress(program.address.ip().into());
    let connector = connector(certificate, &[protocol]);
    let stream = soon(connector.connect(name, stream)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    let address = program.address;
    let request = Request::get(format!("https://{address}/")).header("host", address.to_string());
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let answer = if protocol == "h2" {
        let (mut sender, connection) =
            http2::handshake(LoopExecutor::new(), Io::new(stream)).await.unwrap();
        spawn(connection);
        soon(sender.send_request(request)).await
    } else {
        let (mut sender, connection) = http1::handshake(Io::new(stream)).await.unwrap();
        spawn(connection);
        soon(sender.send_request(request)).await
    };
    let answer = answer.unwrap();
    let version = answer.version();
    let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    (version, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn the_https_server_greets_by_both_versions_of_http_with_the_certificate_it_wrote() {
    let program = Program::start(env!("CARGO_BIN_EXE_https_server"), &["127.0.0.1:0"]);
    let line = program.lines(1).remove(0);
    let file = line.strip_prefix("certificate: ").unwrap();
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    std::fs::remove_file(file).unwrap();
    block_on(async {
        let greeting = asks(&program, certificate.clone(), "h2").await;
        assert_eq!(greeting, (Version::HTTP_2, "Hello over TLSv1_3, h2.\n".into()));
        let greeting = asks(&program, certificate, "http/1.1").await;
        assert_eq!(greeting, (Version::HTTP_11, "Hello over TLSv1_3, http/1.1.\n".into()));
        // Their connections' tasks end with the senders.
        soon(async {
            while loopline::Handle::<()>::try_current().unwrap().stats().items > 0 {
                loopline::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    });
}
