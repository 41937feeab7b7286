package app

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// answerTimesFile is the file of data_dir with what the client has learned about the times that jobs take.
	answerTimesFile = "answer-times.json"
	saveTimesEvery  = 10 * time.Minute
)

// learner is a client of the analysis API that learns how long jobs take. *analyzer.Client implements it.
type learner interface {
	Learned() ([]byte, error)
	Learn(data []byte) error
}

// answerTimes keeps what the client of the analysis API has learned across restarts. It is of no consequence if it is lost.
type answerTimes struct {
	of    learner // nil: the client learns nothing
	dir   string
	saved []byte
}

func (a *App) loadAnswerTimes() *answerTimes {
	k := &answerTimes{dir: a.opt.Config.DataDir}
	k.of, _ = a.opt.API.(learner)
	if k.of == nil {
		return k
	}
	data, err := os.ReadFile(filepath.Join(k.dir, answerTimesFile))
	if err == nil {
		err = k.of.Learn(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.opt.Log.Warn("answer times of the analysis API not read, they are learned again", "file", answerTimesFile, "error", err)
	}
	return k
}

// run saves from time to time, and at the end.
func (k *answerTimes) run(ctx context.Context) error {
	tick := time.NewTicker(saveTimesEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = k.save() // the next one may succeed; the state of the disk is shown elsewhere
		case <-ctx.Done():
			return k.save()
		}
	}
}

func (k *answerTimes) save() error {
	if k.of == nil {
		return nil
	}
	data, err := k.of.Learned()
	if err != nil || bytes.Equal(data, k.saved) {
		return err
	}
	if err := writeDurably(k.dir, answerTimesFile, data); err != nil {
		return err
	}
	k.saved = data
	return nil
}
