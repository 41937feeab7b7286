package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/seal"
	"callscreen/internal/store"
)

// With an encryption key, all audio on the disk is encrypted. The API and the analysis get the same audio as without a key.
func TestAudioIsEncryptedOnTheDisk(t *testing.T) {
	t.Parallel()
	key, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s := newSidecar(
		t,
		simulator.Script{},
		auth.Tokens{"ingest": "in", "reviewer": "rev"},
		func(c *config.Config) { c.AudioKey = config.Secret(key) },
	)
	if sum, _ := s.play(t.Context(), demo.Synthetic, "c", "caller", 8, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	r := s.ended("c")
	if r.Decision != "flagged" || len(r.Segments) == 0 || len(s.stand.Uploads()) == 0 {
		t.Fatalf("%+v", r)
	}
	for _, u := range s.stand.Uploads() { // the analysis API gets the decrypted audio
		if u.Rate != 16000 || u.Channels != 1 || u.Bits != 16 {
			t.Errorf("%+v", u)
		}
	}
	heard := map[string][]byte{}
	for _, g := range r.Segments {
		if !g.Audio {
			continue
		}
		whole, status := s.fetch("/api/v1/segments/"+g.ID+"/audio", "")
		part, partial := s.fetch("/api/v1/segments/"+g.ID+"/audio", "bytes=70000-70999")
		if status != 200 || partial != 206 || !bytes.HasPrefix(whole, []byte("RIFF")) || !bytes.Equal(part, whole[70000:71000]) {
			t.Errorf("HTTP %d and %d, %d and %d bytes", status, partial, len(whole), len(part))
		}
		heard[g.ID] = whole
	}
	s.stop()
	db, err := store.Open(t.Context(), store.Options{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for id, wav := range heard {
		sum := sha256.Sum256(wav)
		if g, err := db.Segment(t.Context(), id); err != nil || g.AudioSHA256 != hex.EncodeToString(sum[:]) || g.AudioBytes != int64(len(wav)) {
			t.Errorf("%+v %v", g, err)
		}
	}
	sealed := 0
	if err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("WAVEfmt ")) || bytes.Contains(data, []byte(key)) {
			t.Errorf("%s holds an unencrypted WAV header or the key", path)
		}
		for _, wav := range heard {
			if bytes.Contains(data, wav[44:4044]) {
				t.Errorf("%s holds unencrypted audio", path)
			}
		}
		if strings.HasSuffix(path, ".wav") && bytes.HasPrefix(data, []byte("age-encryption.org/v1\n")) {
			sealed++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(heard) == 0 || sealed != len(heard) {
		t.Errorf("%d files are encrypted, %d segments were analysed", sealed, len(heard))
	}
	if strings.Contains(s.log.String(), key) {
		t.Error("the key is in the log")
	}
}

// Sealed files that were exchanged are not played. The metric counts the refusals, which is an alert.
func TestExchangedSealedAudioIsRefused(t *testing.T) {
	t.Parallel()
	key, _, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s := newSidecar(
		t,
		simulator.Script{},
		auth.Tokens{"ingest": "in", "reviewer": "rev"},
		func(c *config.Config) { c.AudioKey = config.Secret(key) },
	)
	for _, call := range []string{"c", "d"} {
		if sum, _ := s.play(t.Context(), demo.Synthetic, call, "caller", 8, publish.Impairment{}); sum.Err() != nil {
			t.Fatal(sum.Err())
		}
	}
	segment := func(call string) (id, file string) {
		for _, g := range s.ended(call).Segments {
			if g.Audio {
				found, err := filepath.Glob(filepath.Join(s.dir, "audio", "*", g.ID+".wav"))
				if err != nil || len(found) != 1 {
					t.Fatal(found, err)
				}
				return g.ID, found[0]
			}
		}
		t.Fatalf("call %s has no audio", call)
		return "", ""
	}
	s.errors = 1 // the refusal
	id, file := segment("c")
	_, other := segment("d")
	data, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(file), os.WriteFile(file, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	if body, status := s.fetch("/api/v1/segments/"+id+"/audio", ""); status != http.StatusConflict || bytes.Contains(body, []byte("RIFF")) {
		t.Errorf("HTTP %d", status)
	}
	if got := s.scrape()["callscreen_audio_refused_total"].GetMetric()[0].GetCounter().GetValue(); got != 1 {
		t.Errorf("%v were counted", got)
	}
}

// fetch requests a resource or a range of it.
func (s *sidecar) fetch(path, part string) (body []byte, status int) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.app.Addr()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer rev")
	if part != "" {
		r.Header.Set("Range", part)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return body, resp.StatusCode
}
