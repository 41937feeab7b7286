// Package storetest holds database helpers for tests: a private PostgreSQL server, and one conformance suite for every
// kind of database.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"callscreen/internal/testkit"
)

// Postgres is a PostgreSQL server for the duration of a test.
type Postgres struct {
	t    testing.TB
	bin  string
	dir  string
	port int
	cred *syscall.SysProcAttr
	cmd  *exec.Cmd
}

// StartPostgres starts a server on a free port. Without an installed PostgreSQL the test is skipped, or fails if
// CALLSCREEN_REQUIRE_PEERS is 1.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin := postgresBin()
	if bin == "" {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatal("PostgreSQL is not installed")
		}
		t.Skip("PostgreSQL is not installed")
	}
	dir, err := os.MkdirTemp("", "callscreen-pg-") // another user cannot read the directory of t
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{t: t, bin: bin, dir: dir, cred: &syscall.SysProcAttr{}}
	p.removeAfter()
	if os.Geteuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				t.Fatal(err)
			}
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		p.cred.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil { //nolint:gosec // ids are small
			t.Fatal(err)
		}
	}
	initdb := exec.Command(
		filepath.Join(bin, "initdb"),
		"-D",
		filepath.Join(dir, "data"),
		"-U",
		"callscreen",
		"-A",
		"trust",
		"--no-sync",
		"-E",
		"UTF8",
		"--locale=C",
	)
	initdb.SysProcAttr, initdb.Dir = p.cred, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p.port = testkit.FreePort(t)
	p.Start()
	return p
}

// removeAfter stops the server and removes its files at the end of the test.
func (p *Postgres) removeAfter() {
	p.t.Cleanup(func() {
		p.Stop(syscall.SIGQUIT)
		if err := os.RemoveAll(p.dir); err != nil {
			p.t.Error(err)
		}
	})
}

func postgresBin() string {
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(all) > 0 {
		return filepath.Dir(all[len(all)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// Start starts the server, also after Stop, and waits until it answers.
func (p *Postgres) Start() {
	p.t.Helper()
	p.cmd = exec.Command(filepath.Join(p.bin, "postgres"), "-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port), "-k", p.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "timezone=UTC")
	p.cmd.SysProcAttr, p.cmd.Dir = p.cred, p.dir
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			p.t.Fatalf("PostgreSQL does not start: %v\n%s", err, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Stop stops the server: SIGINT cleanly, SIGQUIT immediately.
func (p *Postgres) Stop(how syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	if err := p.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	_ = p.cmd.Wait() // after SIGQUIT the exit code is not 0
	p.cmd = nil
}

// exec runs a statement outside of a transaction.
func (p *Postgres) exec(statement string) {
	p.t.Helper()
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

func (p *Postgres) url(database string) string {
	return fmt.Sprintf("postgres://callscreen:pw@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

var databases atomic.Int64

// Database creates an empty database and returns its URL.
func (p *Postgres) Database() string {
	p.t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	p.exec("CREATE DATABASE " + name)
	return p.url(name)
}
