//! A network between worker and broker that can be cut.

use super::url;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy that can cut what passes through it, or refuse.
pub struct Proxy {
    pub url: String,
    cut: watch::Sender<u32>,
    pub refuse: Arc<AtomicBool>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, rest) = url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (target, vhost) = rest.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (cut, cuts) = watch::channel(0);
        let refuse = Arc::new(AtomicBool::new(false));
        let refusing = refuse.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let (target, mut cuts) = (target.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = cuts.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { url: format!("{before}@127.0.0.1:{port}/{vhost}"), cut, refuse }
    }

    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}
