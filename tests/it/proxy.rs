//! A network between the worker and a server that can be cut, or fall silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy that can cut what passes through it, refuse, or keep connections open and pass nothing more.
pub struct Proxy {
    pub url: String,
    cut: watch::Sender<u32>,
    pub refuse: Arc<AtomicBool>,
    silent: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of the server at `url`, whose address names a user.
    pub async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, rest) = url.rsplit_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (target, path) = rest.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let (cut, cuts) = watch::channel(0);
        let refuse = Arc::new(AtomicBool::new(false));
        let refusing = refuse.clone();
        let silent = Arc::new(AtomicBool::new(false));
        let silenced = silent.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let (target, mut cuts, silenced) = (target.clone(), cuts.clone(), silenced.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = cuts.changed() => if silenced.load(Ordering::SeqCst) {
                            // Both sides keep their connection.
                            std::future::pending::<()>().await;
                        },
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { url: format!("{before}@127.0.0.1:{port}/{path}"), cut, refuse, silent }
    }

    /// From now on nothing passes through the connections there are.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}
