package deb_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// folder is the environment variable with the folder of the packages that `make deb` has built.
const folder = "CALLSCREEN_DEBS"

// installed holds the installed files and their modes.
var installed = map[string]fs.FileMode{
	"/usr/bin/callscreen":                                  0o755,
	"/lib/systemd/system/callscreen.service":               0o644,
	"/etc/callscreen/callscreen.yaml":                      0o644,
	"/usr/share/bash-completion/completions/callscreen":    0o644,
	"/usr/share/zsh/vendor-completions/_callscreen":        0o644,
	"/usr/share/fish/vendor_completions.d/callscreen.fish": 0o644,
	"/usr/share/man/man1/callscreen.1.gz":                  0o644,
	"/usr/share/doc/callscreen/README.md":                  0o644,
	"/usr/share/doc/callscreen/docs/operating.md":          0o644,
}

const conffile = "/etc/callscreen/callscreen.yaml"

// debian is a Debian system in a folder.
type debian struct {
	t    *testing.T
	ctx  context.Context
	root string
}

func TestDebianPackage(t *testing.T) {
	debs := os.Getenv(folder)
	if debs == "" {
		t.Skip("make deb-test")
	}
	need(t, "debootstrap")
	need(t, "dpkg-deb")
	if os.Geteuid() != 0 {
		absent(t, "it takes root to install a Debian in a folder")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	d := &debian{t: t, ctx: ctx, root: filepath.Join(t.TempDir(), "debian")}
	d.host("debootstrap", "--variant=minbase", "bookworm", d.root)
	amd64, arm64 := one(t, debs, "amd64"), one(t, debs, "arm64")
	next := d.next(amd64)

	users := d.read("/etc/passwd")
	d.install(amd64)
	for path, mode := range installed {
		d.has(path, mode)
	}
	if out := d.run("dpkg", "--verify", "callscreen"); out != "" {
		t.Errorf("dpkg --verify: %s", out)
	}
	if d.read("/etc/passwd") != users { // the unit uses a dynamic user
		t.Error("the package creates a user")
	}
	d.works()

	// An upgrade replaces an unchanged configuration and keeps a changed one. Data stays.
	data := "/var/lib/private/callscreen/spool/segment"
	d.write(data, "audio")
	if err := os.Symlink("private/callscreen", filepath.Join(d.root, "/var/lib/callscreen")); err != nil {
		t.Fatal(err)
	}
	d.install(next)
	if !strings.Contains(d.read(conffile), "# next") {
		t.Error("the unchanged configuration was not replaced by that of the next version")
	}
	d.install(amd64, "--force-downgrade")
	d.write(conffile, d.read(conffile)+"# mine\n")
	d.install(next)
	if text := d.read(conffile); !strings.Contains(text, "# mine") || strings.Contains(text, "# next") {
		t.Errorf("the changed configuration was not kept:\n%s", text)
	}
	d.has(conffile+".dpkg-dist", 0o644)
	d.has(data, 0o600)

	d.run("dpkg", "--remove", "callscreen")
	for path := range installed {
		if path != conffile {
			d.lacks(path)
		}
	}
	for path, mode := range map[string]fs.FileMode{conffile: 0o644, "/etc/callscreen/api.key": 0o600, data: 0o600} {
		d.has(path, mode)
	}

	d.run("dpkg", "--purge", "callscreen")
	for _, path := range []string{"/etc/callscreen", "/var/lib/callscreen", "/var/lib/private/callscreen"} {
		d.lacks(path)
	}
	if out, err := d.command("dpkg", "--status", "callscreen").CombinedOutput(); err == nil {
		t.Errorf("dpkg still lists the package after the purge:\n%s", out)
	}

	d.sameFor(arm64, amd64)
}

// works runs the program as the unit does, without the sandbox and the credentials of systemd.
func (d *debian) works() {
	d.t.Helper()
	if out := d.run("callscreen", "version"); !strings.Contains(out, "linux/amd64") {
		d.t.Errorf("version says %q", out)
	}
	d.run("callscreen", "config", "check", "--config", conffile)
	for _, key := range []string{"api.key", "ingest.token", "review.token"} {
		d.write("/etc/callscreen/"+key, rand.Text())
	}
	unit := d.read("/lib/systemd/system/callscreen.service")
	if !strings.Contains(unit, "ExecStart=/usr/bin/callscreen serve --config "+conffile) {
		d.t.Errorf("the unit starts another command:\n%s", unit)
	}
	const stand = "127.0.0.1:18089"
	settings := []string{
		"CALLSCREEN_ANALYSIS_API_KEY_FILE=/etc/callscreen/api.key", "CALLSCREEN_ANALYSIS_BASE_URL=http://" + stand,
		"CALLSCREEN_INGEST_TOKEN_FILE=/etc/callscreen/ingest.token", "CALLSCREEN_REVIEW_TOKEN_FILE=/etc/callscreen/review.token",
		"CALLSCREEN_DATA_DIR=/var/lib/callscreen-test", "CALLSCREEN_LISTEN=127.0.0.1:18088",
		"CALLSCREEN_WEBRTC_UDP_PORT=0", "CALLSCREEN_WEBRTC_TCP_PORT=0",
	}
	simulator := d.begin(nil, "stand-in for", "callscreen", "simulator", "--listen", stand)
	doctor := d.command("callscreen", "doctor", "--config", conffile)
	doctor.Env = append(os.Environ(), settings...)
	if out, err := doctor.CombinedOutput(); err != nil {
		d.t.Errorf("doctor: %v\n%s", err, out)
	} else {
		d.t.Logf("doctor:\n%s", out)
	}
	serve := d.begin(settings, `"msg":"serving"`, "callscreen", "serve", "--config", conffile, "--log-format", "json")
	serve()
	simulator()
}

// begin starts a process and waits for a word in its log. The returned function stops the process and checks its exit status.
func (d *debian) begin(env []string, word string, args ...string) (stop func()) {
	d.t.Helper()
	cmd := d.command(args...)
	cmd.Env = append(os.Environ(), env...)
	log := &bytes.Buffer{}
	said, seen := make(chan struct{}), false
	cmd.Stderr = writer(func(p []byte) {
		log.Write(p)
		if !seen && strings.Contains(log.String(), word) {
			seen = true
			close(said)
		}
	})
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-said:
	case err := <-ended:
		d.t.Fatalf("%v: %v\n%s", args, err, log)
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		<-ended
		d.t.Fatalf("the log of %v does not contain %q:\n%s", args, word, log)
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := <-ended; err != nil {
			d.t.Errorf("%v: %v\n%s", args, err, log)
		}
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// next builds the next version of a package, with another configuration.
func (d *debian) next(deb string) string {
	d.t.Helper()
	dir := filepath.Join(d.t.TempDir(), "next")
	d.host("dpkg-deb", "--raw-extract", deb, dir)
	control := filepath.Join(dir, "DEBIAN", "control")
	text, err := os.ReadFile(control)
	if err != nil {
		d.t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^Version: .*$`).ReplaceAll(text, []byte("$0+next"))
	if err := os.WriteFile(control, text, 0o644); err != nil {
		d.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, conffile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := f.WriteString("# next\n"); err != nil {
		d.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.host("dpkg-deb", "--build", "-Znone", dir, dir+".deb")
	return dir + ".deb"
}

// install installs a package with apt-get, without questions.
func (d *debian) install(deb string, flags ...string) {
	d.t.Helper()
	data, err := os.ReadFile(deb)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.root, "tmp", "callscreen.deb"), data, 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.run(append(append([]string{"dpkg", "--force-confdef", "--force-confold"}, flags...), "--install", "/tmp/callscreen.deb")...)
}

// sameFor checks that both packages hold the same files, and that the first one is for arm64.
func (d *debian) sameFor(arm64, amd64 string) {
	d.t.Helper()
	if list, want := d.contents(arm64), d.contents(amd64); list != want {
		d.t.Errorf("the package for arm64 holds\n%s\nthat for amd64\n%s", list, want)
	}
	if out := d.host("dpkg-deb", "--field", arm64, "Architecture"); strings.TrimSpace(out) != "arm64" {
		d.t.Errorf("the package is for %s, want arm64", out)
	}
	dir := filepath.Join(d.t.TempDir(), "arm64")
	d.host("dpkg-deb", "--extract", arm64, dir)
	f, err := elf.Open(filepath.Join(dir, "usr", "bin", "callscreen"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != elf.EM_AARCH64 {
		d.t.Errorf("the program in the package is for %s", f.Machine)
	}
}

// contents returns the modes and paths of the files in a package.
func (d *debian) contents(deb string) string {
	var lines []string
	for line := range strings.Lines(d.host("dpkg-deb", "--contents", deb)) {
		if f := strings.Fields(line); len(f) >= 6 {
			lines = append(lines, f[0]+" "+f[1]+" "+f[5])
		}
	}
	return strings.Join(lines, "\n")
}

func (d *debian) command(args ...string) *exec.Cmd {
	return exec.CommandContext(d.ctx, "chroot", append([]string{d.root}, args...)...)
}

func (d *debian) run(args ...string) string {
	d.t.Helper()
	return d.done(d.command(args...))
}

func (d *debian) host(args ...string) string {
	d.t.Helper()
	return d.done(exec.CommandContext(d.ctx, args[0], args[1:]...))
}

func (d *debian) done(cmd *exec.Cmd) string {
	d.t.Helper()
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

func (d *debian) read(path string) string {
	d.t.Helper()
	data, err := os.ReadFile(filepath.Join(d.root, path))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(data)
}

func (d *debian) write(path, text string) {
	d.t.Helper()
	file := filepath.Join(d.root, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *debian) has(path string, mode fs.FileMode) {
	d.t.Helper()
	info, err := os.Stat(filepath.Join(d.root, path))
	if err != nil {
		d.t.Error(err)
	} else if got := info.Mode().Perm(); got != mode {
		d.t.Errorf("%s has the mode %o, want %o", path, got, mode)
	}
}

func (d *debian) lacks(path string) {
	d.t.Helper()
	if _, err := os.Lstat(filepath.Join(d.root, path)); err == nil {
		d.t.Errorf("%s still exists", path)
	}
}

// one returns the package for an architecture.
func one(t *testing.T, debs, arch string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(debs, "callscreen_*_"+arch+".deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d packages for %s in %s, want one (hint: make deb-test)", len(files), arch, debs)
	}
	return files[0]
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		absent(t, fmt.Sprintf("%s is not installed", program))
	}
}

// absent skips the test if a requirement is missing, or fails it where all are required.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
