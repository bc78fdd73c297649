//! A file against a plain model, by random operations, some dropped after a few polls.

mod support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::pin::pin;
use std::task::Poll;

use loopline::fs::{File, OpenOptions};
use loopline::yield_now;
use support::{block_on, scaled};

/// A generator (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(300);
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    fn place(&mut self) -> SeekFrom {
        match self.below(3) {
            0 => SeekFrom::Start(self.below(2000) as u64),
            1 => SeekFrom::Current(self.below(400) as i64 - 200),
            _ => SeekFrom::End(self.below(200) as i64 - 150),
        }
    }
}

/// Polls a future at most so often, with room for threads to go on between; `None` if it is dropped.
async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) = futures::poll!(&mut future) {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// One operation on the file and on the model.
async fn step(chance: &mut Chance, file: &mut File, model: &mut std::io::Cursor<Vec<u8>>) {
    match chance.below(10) {
        0..3 => {
            let bytes = chance.bytes();
            file.write_all(&bytes).await.unwrap();
            model.write_all(&bytes).unwrap();
        }
        3..5 => {
            let mut bytes = vec![0; chance.below(300)];
            let n = file.read(&mut bytes).await.unwrap();
            let mut expected = vec![0; n];
            model.read_exact(&mut expected).unwrap();
            assert_eq!(bytes[..n], expected);
            let at_end = model.position() >= model.get_ref().len() as u64;
            assert!(n != 0 || bytes.is_empty() || at_end, "an end in the middle");
        }
        5 => {
            // Dropped: what it reads is not lost.
            let mut bytes = vec![0; chance.below(300)];
            let times = chance.below(20);
            if let Some(n) = polled(times, file.read(&mut bytes)).await {
                let mut expected = vec![0; n.unwrap()];
                model.read_exact(&mut expected).unwrap();
                assert_eq!(bytes[..expected.len()], expected);
            }
        }
        6 => {
            let to = chance.place();
            let (real, expected) = (file.seek(to).await, model.seek(to));
            assert_eq!(real.map_err(|e| e.kind()), expected.map_err(|e| e.kind()), "{to:?}");
        }
        7 => {
            // Dropped and made again: it moves once.
            let to = chance.place();
            let times = chance.below(20);
            let real = match polled(times, file.seek(to)).await {
                Some(real) => real,
                None => file.seek(to).await,
            };
            assert_eq!(real.map_err(|e| e.kind()), model.seek(to).map_err(|e| e.kind()));
        }
        8 => {
            let times = chance.below(5);
            if let Some(flushed) = polled(times, file.flush()).await {
                flushed.unwrap();
            }
        }
        _ => {
            let len = chance.below(1500);
            // Forgets what a dropped read has read of what is cut off.
            file.stream_position().await.unwrap();
            file.set_len(len as u64).await.unwrap();
            model.get_mut().resize(len, 0);
            assert_eq!(file.metadata().await.unwrap().len(), len as u64);
        }
    }
}

#[test]
fn random_operations_do_what_they_do_to_a_plain_cursor() {
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(0xf11e);
    println!("LOOPLINE_SEED={seed}");
    let path = std::env::temp_dir().join(format!("loopline-fs-model-{}", std::process::id()));
    block_on(async {
        let mut chance = Chance(seed);
        for _ in 0..20 {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            let mut file = options.open(&path).await.unwrap();
            file.set_max_buf_size(1 + chance.below(500));
            let mut model = std::io::Cursor::new(Vec::new());
            for _ in 0..scaled(300) {
                step(&mut chance, &mut file, &mut model).await;
            }
            let mut file = file.into_std().await;
            assert_eq!(file.stream_position().unwrap(), model.position());
            assert_eq!(std::fs::read(&path).unwrap(), *model.get_ref());
        }
    });
    std::fs::remove_file(&path).unwrap();
}
