"""Fetching from a real HTTP server on this machine: whole, cut off, resumed, wrong, refused."""

import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator

import pytest

import core.datasets.fetch as fetching
from core.datasets.add import add
from core.datasets.catalog import DATASETS
from core.datasets.fetch import download, fetch, mirrored
from core.datasets.idx import FASHION_MNIST
from core.datasets.load import status
from core.datasets.spec import Remote
from core.errors import BadValue, ChecksumMismatch, DatasetMissing, FetchFailed

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes, more than one read


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; `ranges` says whether it honours Range, `cut` after how many bytes it hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.cut: int | None = None
        self.chunked = False
        self.code: int | None = None
        self.asked: list[str | None] = []
        self.files: dict[str, bytes] = {}  # where there are several
        self.redirect: str | None = None  # where the first address sends one
        self.hold_after: int | None = None  # after how many bytes it falls silent until `let_go`
        self.let_go = threading.Event()
        self.cut_file: str | None = None  # the one of them that breaks after ten bytes
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/set.tar.gz"

    def remote(self, content: bytes | None = None) -> Remote:
        content = self.content if content is None else content
        return Remote(url=self.url, md5=hashlib.md5(content).hexdigest(), bytes=len(content))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.code is not None:
            self.send_error(self.server.code)
            return
        name = self.path.rpartition("/")[2]
        if self.server.redirect is not None and name == "set.tar.gz":
            self.send_response(302)
            self.send_header("Location", self.server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        self.server.paths.append(name)
        content = self.server.files.get(name, self.server.content)
        cut = 10 if name == self.server.cut_file else self.server.cut
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            half = body[: len(body) // 2]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
            if self.server.cut is None:
                rest = body[len(half) :]
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: cut if self.server.hold_after is None else self.server.hold_after])
            if self.server.hold_after is not None:
                self.server.let_go.wait(10)
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_download_arrives_whole_with_progress(tmp_path, server):
    seen = []
    download(server.remote(), tmp_path / "set", lambda *step: seen.append(step))
    assert (tmp_path / "set").read_bytes() == CONTENT
    assert not (tmp_path / "set.part").exists()
    assert seen[0] == ("downloading", 0, len(CONTENT))
    assert ("downloading", len(CONTENT), len(CONTENT)) in seen


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_that_breaks_keeps_what_came_and_the_next_try_goes_on_from_there(tmp_path, server, chunked):
    server.cut, server.chunked = 300_000, chunked
    with pytest.raises(FetchFailed, match="again"):
        download(server.remote(), tmp_path / "set")
    came = (tmp_path / "set.part").stat().st_size
    assert came == (len(CONTENT) // 2 if chunked else 300_000)
    assert not (tmp_path / "set").exists()
    server.cut, server.chunked = None, False
    download(server.remote(), tmp_path / "set")
    assert server.asked == [None, f"bytes={came}-"]
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_server_without_range_sends_the_whole_file_again(tmp_path, server):
    (tmp_path / "set.part").write_bytes(CONTENT[:1000])
    server.ranges = False
    download(server.remote(), tmp_path / "set")
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_only_checked(tmp_path, server):
    (tmp_path / "set.part").write_bytes(CONTENT)
    download(server.remote(), tmp_path / "set")  # the server answers 416
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_wrong_checksum_drops_the_file_so_that_the_next_try_starts_clean(tmp_path, server):
    remote = server.remote(b"what it should be")
    with pytest.raises(ChecksumMismatch, match=remote.md5):
        download(Remote(url=remote.url, md5=remote.md5, bytes=len(CONTENT)), tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_a_part_of_another_file_is_noticed_by_its_checksum(tmp_path, server):
    (tmp_path / "set.part").write_bytes(b"?" * 1000)
    with pytest.raises(ChecksumMismatch, match=server.remote().md5):
        download(server.remote(), tmp_path / "set")
    download(server.remote(), tmp_path / "set")
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_file_far_longer_than_recorded_is_not_taken(tmp_path, server):
    remote = Remote(url=server.url, md5=server.remote().md5, bytes=1000)
    with pytest.raises(FetchFailed, match="far longer"):
        download(remote, tmp_path / "set")


def test_without_a_size_on_record_the_servers_is_shown_and_a_fixed_bound_holds(tmp_path, server, monkeypatch):
    remote = Remote(url=server.url, md5=server.remote().md5)
    told = []
    download(remote, tmp_path / "set", progress=lambda what, done, total: told.append(total))
    assert (tmp_path / "set").read_bytes() == CONTENT and len(CONTENT) in told
    monkeypatch.setattr("core.datasets.fetch.MOST", len(CONTENT) - 1)
    with pytest.raises(FetchFailed, match=f"far longer than {len(CONTENT) - 1:,} bytes"):
        download(remote, tmp_path / "again")
    for name in ("speech_commands", "speech_commands_v1"):
        assert [one.bytes for one in DATASETS[name].remotes] == [None]  # nobody verified one


@pytest.mark.parametrize("code", [403, 404, 500])
def test_a_servers_refusal_is_passed_on(tmp_path, server, code):
    server.code = code
    with pytest.raises(FetchFailed, match=str(code)):
        download(server.remote(), tmp_path / "set")


def test_a_server_that_is_not_there_is_a_failed_fetch(tmp_path, server):
    remote = server.remote()
    server.server_close()
    server.shutdown()
    with pytest.raises(FetchFailed, match="refused"):
        download(remote, tmp_path / "set")


def test_a_server_that_answers_something_else_is_a_failed_fetch(tmp_path, server, monkeypatch):
    monkeypatch.setattr(Handler, "send_response", lambda self, *_: self.wfile.write(b"no HTTP at all\r\n\r\n"))
    with pytest.raises(FetchFailed, match="illegal status line"):
        download(server.remote(), tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_a_silent_server_is_a_failed_fetch_that_keeps_what_came(tmp_path, server, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.2)
    server.hold_after = 300_000
    with pytest.raises(FetchFailed, match="timed out.*again"):
        download(server.remote(), tmp_path / "set")
    assert (tmp_path / "set.part").stat().st_size == 300_000
    server.let_go.set()


@pytest.mark.parametrize(("place", "why"), [("file:///etc/passwd", "unsupported protocol"), ("http://[::1", "Invalid")])
def test_a_redirect_to_no_web_address_is_not_followed(tmp_path, server, place, why):
    server.redirect = place
    with pytest.raises(FetchFailed, match=why):
        download(server.remote(), tmp_path / "set")


def test_a_redirect_to_another_web_address_is_followed(tmp_path, server):
    server.redirect = "/files/elsewhere"
    server.files["elsewhere"] = CONTENT
    download(server.remote(), tmp_path / "set")
    assert (tmp_path / "set").read_bytes() == CONTENT and server.paths == ["elsewhere"]


@pytest.mark.parametrize("proxy", ["socks9://127.0.0.1:1", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named(tmp_path, server, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(FetchFailed, match="ALL_PROXY"):
        download(server.remote(), tmp_path / "set")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x"])
def test_only_web_addresses_are_fetched(tmp_path, url):
    with pytest.raises(BadValue, match="http"):
        download(Remote(url=url, md5="0" * 32, bytes=1), tmp_path / "set")


@pytest.fixture
def served_set(tmp_path, server, cifar10_files, small_cifar10) -> Server:
    source = cifar10_files(tmp_path / "source")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        tar.add(source, "cifar-10-batches-py")
    server.content = (tmp_path / "set.tar.gz").read_bytes()
    return server


def test_a_fetched_set_is_added_and_its_archive_removed(tmp_path, served_set):
    state = fetch("cifar10", tmp_path / "data", remotes=(served_set.remote(),))
    assert state.complete and status("cifar10", tmp_path / "data").n_train == 100
    left = [file for file in (tmp_path / "data" / "downloads").iterdir() if not file.name.startswith(".")]
    assert left == []


def test_a_complete_set_is_not_fetched_again_unless_asked(tmp_path, served_set):
    fetch("cifar10", tmp_path / "data", remotes=(served_set.remote(),))
    fetch("cifar10", tmp_path / "data", remotes=(served_set.remote(),))
    assert len(served_set.asked) == 1
    fetch("cifar10", tmp_path / "data", remotes=(served_set.remote(),), replace=True)
    assert len(served_set.asked) == 2


def test_digits_need_no_fetching_and_counting_sets_cannot_be_fetched(tmp_path):
    assert fetch("digits", tmp_path).complete
    with pytest.raises(DatasetMissing, match="not possible yet"):
        fetch("imagenet", tmp_path)


FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SPEECH = "https://storage.googleapis.com/download.tensorflow.org/data/"
ON_RECORD = {
    "cifar10": {"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"},
    "cifar100": {"https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"},
    "tiny_imagenet": {"http://cs231n.stanford.edu/tiny-imagenet-200.zip": "90528d7ca1a48142e341f4ef8d21d0de"},
    "fashion_mnist": {
        f"{FASHION}train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        f"{FASHION}train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        f"{FASHION}t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        f"{FASHION}t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    "speech_commands": {f"{SPEECH}speech_commands_v0.02.tar.gz": "6b74f3901214cb2c2934e98196829835"},
    "speech_commands_v1": {f"{SPEECH}speech_commands_v0.01.tar.gz": "3cd23799cb2bbdec517f1cc028f8d43c"},
}


def test_the_addresses_on_record_are_the_authors_own():
    found = {name: {remote.url: remote.md5 for remote in spec.remotes} for name, spec in DATASETS.built_in.items()}
    assert {name: remotes for name, remotes in found.items() if remotes} == ON_RECORD


def test_a_mirror_of_several_files_is_a_folder_and_of_one_file_its_address():
    several = mirrored(DATASETS["fashion_mnist"].remotes, "http://mirror.test/fashion/")
    assert [remote.url for remote in several][3] == "http://mirror.test/fashion/t10k-labels-idx1-ubyte.gz"
    assert [remote.md5 for remote in several] == [remote.md5 for remote in DATASETS["fashion_mnist"].remotes]
    (one,) = mirrored(DATASETS["cifar10"].remotes, "http://mirror.test/cifar.tgz")
    assert one.url == "http://mirror.test/cifar.tgz"


def test_a_set_of_several_files_is_fetched_file_by_file_and_goes_on_with_the_one_that_broke(
    tmp_path, server, small_fashion, idx_files
):
    """The second of four breaks; the next try asks for the first no more and for the rest of the second."""
    folder = idx_files(tmp_path / "source")
    server.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    remotes = tuple(
        Remote(url=server.url.replace("set.tar.gz", name), md5=hashlib.md5(content).hexdigest(), bytes=len(content))
        for name, content in ((f"{file}.gz", server.files[f"{file}.gz"]) for file in FASHION_MNIST.files)
    )
    server.cut_file = "train-labels-idx1-ubyte.gz"
    with pytest.raises(FetchFailed, match="again"):
        fetch("fashion_mnist", tmp_path / "data", remotes=remotes)
    part = tmp_path / "data" / "downloads" / "fashion_mnist" / "train-labels-idx1-ubyte.gz.part"
    came = part.stat().st_size
    assert came == 10 and not (tmp_path / "data" / "fashion_mnist").exists()
    server.cut_file, server.asked, server.paths = None, [], []
    assert fetch("fashion_mnist", tmp_path / "data", remotes=remotes).complete
    assert server.paths == [f"{file}.gz" for file in FASHION_MNIST.files[1:]]
    assert server.asked == [f"bytes={came}-", None, None]
    assert not (tmp_path / "data" / "downloads" / "fashion_mnist").exists()


def test_a_data_set_of_ones_own_has_no_address(tmp_path, class_folders):
    add("pets", class_folders(tmp_path / "pets", {"cat": 3, "dog": 3}), tmp_path / "data")
    with pytest.raises(BadValue, match="with an address"):
        fetch("pets", tmp_path / "data")
