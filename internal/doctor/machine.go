package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"callscreen/analyzer"
	"callscreen/encode"
	"callscreen/internal/address"
	"callscreen/internal/audio"
	"callscreen/internal/config"
	"callscreen/internal/rtc"
	"callscreen/internal/spool"
	"callscreen/internal/store"
)

// Machine is the real environment.
type Machine struct{ UserAgent string }

// Reach implements World. A redirect counts as an answer and is not followed.
func (m Machine) Reach(ctx context.Context, baseURL string) (date time.Time, err error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, baseURL, nil)
	if err != nil {
		return date, address.Error(err)
	}
	req.Header.Set("User-Agent", m.UserAgent)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return date, fmt.Errorf("%s does not answer: %w", req.URL.Host, address.Error(err))
	}
	_ = resp.Body.Close() // the body is not used
	if date, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		return time.Time{}, nil
	}
	return date, nil
}

// Submit implements World.
func (m Machine) Submit(ctx context.Context, cfg config.Config) error {
	client, err := analyzer.New(analyzer.Key(cfg.Analysis.APIKey.Reveal()), &analyzer.Options{
		BaseURL:     cfg.Analysis.BaseURL,
		UserAgent:   m.UserAgent,
		PollInitial: cfg.Analysis.PollInitial,
		PollMax:     cfg.Analysis.PollMax,
		Deadline:    cfg.Analysis.Deadline,
		NeverResend: true,
	})
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	tone, err := testTone(cfg.Segment.SampleRate)
	if err != nil {
		return err
	}
	_, err = client.Analyze(ctx, analyzer.BytesAudio(tone), nil)
	return err
}

// testTone returns a WAV file with 3 s of 440 Hz.
func testTone(rate int) ([]byte, error) {
	pcm := make([]int16, 3*rate)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*440*float64(i)/float64(rate)))
	}
	return encode.WAV(rate, pcm)
}

// Database implements World. Its write changes nothing: it deletes a session that does not exist.
func (Machine) Database(ctx context.Context, cfg config.Config) (made bool, err error) {
	if _, e := os.Stat(filepath.Join(cfg.DataDir, "callscreen.db")); cfg.Database == "" && errors.Is(e, fs.ErrNotExist) {
		return false, nil
	}
	s, err := store.Open(ctx, store.Options{URL: cfg.Database.Reveal(), Dir: cfg.DataDir})
	if err != nil {
		return true, err
	}
	return true, errors.Join(s.EndSession(ctx, "doctor"), s.Close())
}

// Audio implements World.
func (Machine) Audio(ctx context.Context, cfg config.Config) error {
	a, err := audio.New(ctx, cfg.Audio, filepath.Join(cfg.DataDir, "audio"))
	if err != nil {
		return err
	}
	err = a.Check(ctx)
	if c, ok := a.(interface{ Close() error }); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// existing returns dir, or its nearest existing parent.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if _, e := os.Stat(dir); !errors.Is(e, fs.ErrNotExist) {
			return dir, e
		}
		dir = filepath.Dir(dir)
	}
	return dir, err
}

// Free implements World.
func (Machine) Free(dir string) (int64, error) {
	dir, err := existing(dir)
	if err != nil {
		return 0, err
	}
	return spool.Free(dir)
}

// Sync implements World.
func (Machine) Sync(dir string) error {
	dir, err := existing(dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".callscreen-doctor-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("ok\n")
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	d, e := os.Open(dir)
	if e != nil {
		return errors.Join(err, e)
	}
	return errors.Join(err, d.Sync(), d.Close())
}

// Bind implements World.
func (Machine) Bind(port int) error {
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return err
	}
	return c.Close()
}

// ReceiveBuffer implements World.
func (Machine) ReceiveBuffer() (most, want int, err error) {
	data, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, errors.ErrUnsupported
	}
	if err == nil {
		most, err = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	return most, rtc.ReceiveBuffer, err
}

// Find implements World.
func (Machine) Find(program string) error {
	_, err := exec.LookPath(program)
	return err
}

// Now implements World.
func (Machine) Now() time.Time { return time.Now() }
