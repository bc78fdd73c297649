//! Positions wrap.

use super::Sender;
use super::error::{RecvError, TryRecvError};
use crate::EventLoop;

// contract 43
#[test]
fn positions_wrap_around_without_a_trace() {
    for before in 0..12_u64 {
        let sender = Sender::starting_at(4, u64::MAX - before);
        let (mut keen, mut slow, gone) =
            (sender.subscribe(), sender.subscribe(), sender.subscribe());
        for value in 0..3 {
            sender.send(value).unwrap();
            assert_eq!(keen.try_recv(), Ok(value));
        }
        assert_eq!((slow.len(), sender.len()), (3, 3));
        drop(gone);
        for value in 3..10 {
            sender.send(value).unwrap();
            assert_eq!(keen.try_recv(), Ok(value));
        }
        assert_eq!((slow.len(), sender.len()), (10, 4));
        assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(6)));
        for value in 6..10 {
            assert_eq!(slow.try_recv(), Ok(value));
        }
        assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
        sender.send(10).unwrap();
        drop(slow);
        drop(sender);
        let received = EventLoop::<()>::new().unwrap().block_on(async {
            let last = keen.recv().await;
            (last, keen.recv().await)
        });
        assert_eq!(received.unwrap(), (Ok(10), Err(RecvError::Closed)));
    }
}
