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

// progress shows on a terminal how far a replay is. Elsewhere it shows nothing. It is safe for concurrent use.
type progress struct {
	mu       sync.Mutex
	bar      *progressbar.ProgressBar // nil where there is no terminal
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

// settled counts a segment that has its score, or has failed.
func (p *progress) settled(*replay.Call, report.SegmentReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments++
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("screening, %d segments analysed", p.segments))
	}
}

// pause clears the line, so that a result can be printed.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear() // a terminal that cannot be written to shows nothing anyway
	}
}

// done counts a recording that is finished.
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
