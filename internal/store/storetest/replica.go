package storetest

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"callscreen/internal/testkit"
)

// Pair is a PostgreSQL server with a streaming replica, for tests of a fail-over.
type Pair struct {
	Primary, Replica *Postgres
	// Stream carries the changes from the primary to the replica. Frozen, the replica falls behind.
	Stream *Proxy
}

// StartPair starts a server and a replica of it. If it is synchronous, a commit of the primary waits for the replica. The
// replica itself has no such setting: promoted, it would wait for a replica of its own.
func StartPair(t testing.TB, synchronous bool) *Pair {
	t.Helper()
	p := StartPostgres(t)
	stream, through := NewProxy(t, p.url("postgres"), "127.0.0.1:0", "")
	u, err := url.Parse(through)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "callscreen-pg-")
	if err != nil {
		t.Fatal(err)
	}
	r := &Postgres{
		t:    t,
		bin:  p.bin,
		dir:  dir,
		port: testkit.FreePort(t),
		cred: p.cred,
	}
	r.removeAfter()
	if c := p.cred.Credential; c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	backup := exec.Command(
		filepath.Join(p.bin, "pg_basebackup"),
		"-D",
		filepath.Join(dir, "data"),
		"-h",
		"127.0.0.1",
		"-p",
		u.Port(),
		"-U",
		"callscreen",
		"-R", // the replica follows the address of the backup, which is that of the proxy
		"-X",
		"stream",
		"--checkpoint=fast",
		"--no-sync",
	)
	backup.SysProcAttr, backup.Dir = p.cred, dir
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	r.Start()
	if synchronous {
		p.exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
		p.exec("SELECT pg_reload_conf()")
	}
	return &Pair{Primary: p, Replica: r, Stream: stream}
}

// Promote makes the replica a server that takes writes, and waits until it does.
func (p *Pair) Promote() {
	p.Primary.t.Helper()
	p.Replica.exec("SELECT pg_promote(true, 60)")
}

// Database creates an empty database and returns the URL of the pair, which leads to the server that takes writes, and that of
// the replica.
func (p *Pair) Database() (pair, replica string) {
	p.Primary.t.Helper()
	u, err := url.Parse(p.Primary.Database())
	if err != nil {
		p.Primary.t.Fatal(err)
	}
	second := *u
	second.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Replica.port))
	u.Host += "," + second.Host
	q := u.Query()
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	return u.String(), second.String()
}
