//! Real files and sockets keep what the traits of the seam promise.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use stormglass_reference_db::env::{Address, ClientEnv, Disk, Env, NodeId};
use stormglass_reference_db::mode::Mode;
use stormglass_reference_db::protocol::{leaderless, multi_leader};
use stormglass_reference_db::real::{Charter, RealClient, RealDisk, RealNode, StartError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::ports::free_address;

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        timeout(PATIENCE, test).await.expect("it happens in time");
    });
}

fn addresses(count: u32) -> BTreeMap<NodeId, String> {
    (1..=count).map(|id| (NodeId(id), free_address())).collect()
}

/// Starts a node in the mode `raft`.
async fn start(
    id: u32,
    nodes: &BTreeMap<NodeId, String>,
    folder: &Path,
) -> Result<RealNode, StartError> {
    let listed: Vec<NodeId> = nodes.keys().copied().collect();
    let (leaderless, regions) = (leaderless::Settings::DEFAULT, multi_leader::Settings::DEFAULT);
    let charter = Charter::new((NodeId(id), &listed, &[]), Mode::Raft, leaderless, regions);
    RealNode::start(NodeId(id), nodes, folder, &charter).await
}

#[test]
fn a_real_disk_does_what_disks_do() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        disk.append("b", b"12").await.unwrap();
        disk.append("b", b"3456").await.unwrap();
        disk.write_at("b", 1, b"xy").await.unwrap();
        disk.truncate("b", 5).await.unwrap();
        disk.sync("b").await.unwrap();
        assert_eq!(disk.read("b").await.unwrap(), b"1xy45");
        disk.append("a", b"old").await.unwrap();
        assert_eq!(disk.list().await.unwrap(), ["a", "b"]);
        disk.rename("b", "a").await.unwrap();
        disk.append("a", b"!").await.unwrap();
        disk.append("b", b"new").await.unwrap();
        disk.sync_dir().await.unwrap();
        assert_eq!(disk.read("a").await.unwrap(), b"1xy45!");
        disk.remove("a").await.unwrap();
        assert_eq!(disk.read("a").await.unwrap_err().kind(), ErrorKind::NotFound);
        drop(disk);
        let disk = RealDisk::open(folder.path()).unwrap();
        assert_eq!(disk.list().await.unwrap(), ["b"]);
        assert_eq!(disk.read("b").await.unwrap(), b"new");
    });
}

#[test]
fn no_name_leads_out_of_the_folder() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        for name in ["", ".", "..", "../x", "/x", "a/b", "a\\b", "lock"] {
            let error = disk.append(name, b"1").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        }
        assert!(disk.list().await.unwrap().is_empty());
    });
}

#[test]
fn a_folder_belongs_to_one_at_a_time() {
    let folder = TempDir::new().unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    let second = RealDisk::open(folder.path());
    assert!(matches!(second, Err(StartError::FolderInUse { .. })), "{second:?}");
    drop(disk);
    RealDisk::open(folder.path()).unwrap();
}

#[test]
fn nodes_and_clients_reach_each_other_again_after_a_restart() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let nodes = addresses(2);
        let begin = async |id: u32| {
            let folder = folder.path().join(id.to_string());
            loop {
                match start(id, &nodes, &folder).await {
                    Ok(node) => return node,
                    // The node before has not stopped listening yet.
                    Err(StartError::Listen { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let first = begin(1).await;
        let all: Vec<String> = nodes.values().cloned().collect();
        let client = RealClient::new(&all);
        // The second node comes, goes, and comes back at the same address.
        for _ in 0..2 {
            let second = begin(2).await;
            let from = sent_until_received(&second, || {
                first.send(Address::Node(NodeId(2)), b"hello".to_vec());
            });
            assert_eq!(from.await, Address::Node(NodeId(1)));
            let from = sent_until_received(&second, || client.send(NodeId(2), b"hello".to_vec()));
            let asker = from.await;
            assert!(matches!(asker, Address::Client(_)), "{asker:?}");
            second.send(asker, b"answer".to_vec());
            assert_eq!(client.recv().await, (NodeId(2), b"answer".to_vec()));
        }
    });
}

/// Sends again and again until something arrives, as every user of a datagram must. Takes all that
/// has arrived, and says who sent it.
async fn sent_until_received(to: &RealNode, send: impl Fn()) -> Address {
    loop {
        send();
        if let Ok((from, bytes)) = timeout(Duration::from_millis(20), to.recv()).await {
            assert_eq!(bytes, b"hello");
            // Copies that are still under way would be taken for later messages.
            while timeout(Duration::from_millis(50), to.recv()).await.is_ok() {}
            return from;
        }
    }
}

#[test]
fn a_message_to_itself_arrives() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let node = start(1, &addresses(1), folder.path()).await.unwrap();
        let me = Address::Node(NodeId(1));
        node.send(me, b"note".to_vec());
        assert_eq!(node.recv().await, (me, b"note".to_vec()));
        assert_eq!(node.try_recv(), None);
    });
}

#[test]
fn strangers_are_hung_up_on_and_do_no_harm() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let node = start(1, &addresses(1), folder.path()).await.unwrap();
        // Not a frame; a frame of 4 GiB; a frame with something else in it; a node of another version.
        let strangers: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\n\r\n",
            &[0xff; 8],
            b"\x03\0\0\0abc",
            b"\x0a\0\0\0sgnet\0\0\x02\0\0",
        ];
        for bytes in strangers {
            let mut stream = TcpStream::connect(node.address()).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut rest = Vec::new();
            // Whether it ends well or with a reset depends on what was left unread.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "{bytes:?}");
        }
        let client = RealClient::new(&[node.address().to_string()]);
        client.send(NodeId(1), b"hello".to_vec());
        assert_eq!(node.recv().await.1, b"hello");
    });
}
