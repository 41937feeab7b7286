package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"callscreen/internal/replay"
	"callscreen/internal/report"
)

// progress shows the progress of a replay on a terminal, and nothing otherwise. It is safe for concurrent use.
type progress struct {
	mu       sync.Mutex
	bar      *progressbar.ProgressBar // nil without a terminal
	segments int
}

func newProgress(w io.Writer, files int) *progress {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return &progress{bar: progressbar.NewOptions(files,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription("screening"),
		progressbar.OptionShowCount(),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionClearOnFinish(),
	)}
}

// settled counts a segment that is scored or failed.
func (p *progress) settled(*replay.Call, report.SegmentReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments++
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("screening, %d segments analysed", p.segments))
	}
}

// pause clears the line before a result is printed.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear() // progress is optional
	}
}

// done counts a finished recording.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Add(1)
	}
}

func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Exit()
		_ = p.bar.Clear()
	}
}
