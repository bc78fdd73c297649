//! Framed codecs of asynchronous-codec over our sockets, as the guide says.
#![cfg(feature = "net")]

mod support;

use asynchronous_codec::{Framed, FramedRead, LengthCodec, LinesCodec};
use futures::{SinkExt, TryStreamExt};
use loopline::callback::Next;
use loopline::net::{TcpListener, TcpStream};
use loopline::{join, try_join};
use support::{block_on, closes_clean, event_loop, scaled};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, (far, _)) = try_join!(TcpStream::connect(address), listener.accept()).unwrap();
    (near, far)
}

#[test]
fn frames_of_any_length_arrive_whole_in_both_directions() {
    block_on(async {
        let (near, far) = pair().await;
        let count = scaled(1000);
        // Of a reference: the stream stays, for whoever else uses it.
        let (mut near, mut far) = (Framed::new(&near, LengthCodec), Framed::new(&far, LengthCodec));
        let echo = async {
            while let Some(frame) = far.try_next().await.unwrap() {
                far.send(frame).await.unwrap();
            }
        };
        let talk = async {
            for n in 0..count {
                let frame = vec![n as u8; n * 37 % 20_000];
                near.send(frame.clone().into()).await.unwrap();
                assert_eq!(near.try_next().await.unwrap().unwrap(), frame);
            }
            near.close().await.unwrap();
        };
        join!(echo, talk);
    });
}

#[test]
fn lines_come_one_by_one_however_they_were_sent() {
    block_on(async {
        let (near, far) = pair().await;
        let sending = async {
            for piece in ["on", "e\ntwo\nth", "ree\n"] {
                near.write_all(piece.as_bytes()).await.unwrap();
                loopline::yield_now().await;
            }
            near.shutdown().await.unwrap();
        };
        let reading = async {
            let lines: Vec<String> = Framed::new(&far, LinesCodec).try_collect().await.unwrap();
            assert_eq!(lines, ["one\n", "two\n", "three\n"]);
        };
        join!(sending, reading);
    });
}

/// The guide says so; should this fail, the codec ends by itself there, and the guide need not.
#[test]
fn a_frame_that_is_cut_short_is_an_error_again_and_again_until_the_callback_stops() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let mut errors = 0;
    let reading = async {
        let (near, far) = pair().await;
        near.write_all(&[0, 0, 0, 0, 0, 0, 0, 9, 1]).await.unwrap();
        near.shutdown().await.unwrap();
        let frames = FramedRead::new(far, LengthCodec);
        let inserted = handle.insert(frames, |frame, _frames, errors: &mut u32| {
            assert!(frame.is_err());
            *errors += 1;
            if *errors < 100 { Next::Keep } else { Next::Stop }
        });
        assert!(inserted.unwrap().await.is_ok());
    };
    event_loop.run_until(&mut errors, reading).unwrap();
    assert_eq!(errors, 100);
    closes_clean(event_loop);
}
