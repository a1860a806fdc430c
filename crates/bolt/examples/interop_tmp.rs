//! Temporary.
#![allow(clippy::unwrap_used, missing_docs)]
use std::{path::Path, sync::Arc};
use bolt::{Db, Op, Options};
use bytes::Bytes;
fn opts(file: &str) -> Options {
    Options { side_dir: std::env::var("SIDE").ok().map(|_| format!("{file}.side").into()), page_size: std::env::var("PS").map_or(4096, |s| s.parse().unwrap()), ..Options::default() }
}
fn fnv(b: &[u8]) -> u64 { b.iter().fold(0xcbf29ce484222325, |h, c| (h ^ u64::from(*c)).wrapping_mul(0x100000001b3)) }
fn hex(b: &[u8]) -> String { b.iter().map(|x| format!("{x:02x}")).collect() }
struct Rng(u64);
impl Rng { fn next(&mut self) -> u64 { self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15); let mut z = self.0; z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9); z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb); z ^ (z >> 31) } fn below(&mut self, n: u64) -> u64 { self.next() % n } fn bytes(&mut self, n: usize) -> Vec<u8> { (0..n).map(|_| self.next() as u8).collect() } }
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let file = &args[2];
    let disk = Arc::new(vfs::RealDisk);
    match &args[1][..] {
        "dump" => {
            let db = Db::open(disk, Path::new(file), Options { read_only: true, ..opts(file) }).unwrap();
            let s = db.snapshot();
            let p = bolt::check(&s);
            if !p.is_empty() { for p in p { eprintln!("{p:?}"); } std::process::exit(3) }
            for b in s.buckets().unwrap() {
                println!("bucket {b}");
                let mut c = s.cursor(&b).unwrap();
                while let Some((k, v)) = c.next_ref().unwrap() { println!("{} {} {:016x}", hex(k), v.len(), fnv(v)); }
            }
        }
        "ops" => {
            let mut r = Rng(args[3].parse().unwrap());
            let mut db = Db::open(disk, Path::new(file), opts(file)).unwrap();
            let mut n = 1000000 * r.below(1000);
            for _ in 0..6 {
                let s = db.snapshot();
                for b in s.buckets().unwrap() {
                    let b: &'static str = Box::leak(b.into_boxed_str());
                    let mut c = s.cursor(b).unwrap();
                    while let Some((k, _)) = c.next().unwrap() {
                        if r.below(4) == 0 {
                            let value = (r.below(3) == 0).then(|| { let n = r.below(3000) as usize; Bytes::from(r.bytes(n)) });
                            db.apply(&Op { bucket: b, key: k, value }).unwrap();
                        }
                    }
                    for _ in 0..r.below(50) {
                        let (kl, vl) = (1 + r.below(20) as usize, r.below(600) as usize);
                        db.apply(&Op { bucket: b, key: r.bytes(kl).into(), value: Some(r.bytes(vl).into()) }).unwrap();
                    }
                }
                let big = r.below(20000) as usize + 1;
                for _ in 0..200 {
                    n += 1;
                    let l = if r.below(20) == 0 { r.below(big as u64) as usize } else { 300 };
                    db.apply(&Op { bucket: "key", key: format!("z{n:016}").into(), value: Some(r.bytes(l).into()) }).unwrap();
                }
                if r.below(3) == 0 { db.shrink_step(20).unwrap(); }
                drop(s);
                println!("{:?}", db.commit().unwrap());
            }
        }
        "defrag" => {
            let mut db = Db::open(disk, Path::new(file), opts(file)).unwrap();
            println!("{} {}", db.size(), db.size_in_use());
            let mut n = 0;
            loop { let s = db.shrink_step(100).unwrap(); if s.done { break } println!("{s:?} {:?}", db.commit().unwrap()); n += 1; if n > 10000 { panic!("endless") } }
            println!("{} {} steps {n}", db.size(), db.size_in_use());
        }
        "image" => {
            let db = Db::open(disk, Path::new(file), opts(file)).unwrap();
            let i = db.snapshot().image().unwrap();
            let mut b = vec![0; i.len() as usize];
            assert_eq!(i.read_at(0, &mut b).unwrap(), b.len());
            std::fs::write(&args[3], b).unwrap();
        }
        _ => panic!(),
    }
}
