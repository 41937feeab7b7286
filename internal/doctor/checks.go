package doctor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/config"
)

// patient is a machine and its configuration.
type patient struct {
	World
	cfg config.Config
}

const mb = 1_000_000

func (p patient) configuration(context.Context) []Finding {
	if err := p.cfg.Validate(); err != nil {
		return Misconfigured(err)
	}
	if enough, share := p.cfg.Analysis.EnoughSpeech, p.cfg.Policy.MinCoverage; enough > 0 && share > 0 {
		return []Finding{
			{
				"configuration",
				Warning,
				fmt.Sprintf(
					"legs with much more than %v of speech will be inconclusive (too_little_coverage): analysis.enough_speech leaves out most of it, and policy.min_coverage is %v",
					time.Duration(float64(enough)/share).Round(time.Second),
					share,
				),
				"policy.min_coverage: 0 accepts that",
			},
		}
	}
	return fine("configuration", "valid")
}

func (p patient) key(context.Context) []Finding {
	if p.cfg.Analysis.APIKey == "" {
		return []Finding{{"key", Error, "there is no API key", "set DATASPIKE_API_KEY or analysis.api_key_file"}}
	}
	return fine("key", "there is one; whether the API takes it, --submit tells")
}

// skew is how wrong the clock may be: receivers of webhooks refuse messages that are minutes old or early.
const skew = 30 * time.Second

func (p patient) api(ctx context.Context) []Finding {
	date, err := p.Reach(ctx, p.cfg.Analysis.BaseURL)
	if err != nil {
		return fault("api", Error, err, "check analysis.base_url, the network, and HTTPS_PROXY if a proxy is needed")
	}
	all := fine("api", "%s answers", p.cfg.Analysis.BaseURL)
	if date.IsZero() {
		return all
	}
	if off := p.Now().Sub(date).Round(time.Second); off.Abs() > skew {
		return append(
			all,
			Finding{
				"clock",
				Warning,
				fmt.Sprintf("this machine's clock is %v off from that of the API", off),
				"let it be set by NTP: timedatectl set-ntp true",
			},
		)
	}
	return append(all, fine("clock", "agrees with that of the API")...)
}

func (p patient) database(ctx context.Context) []Finding {
	made, err := p.Database(ctx, p.cfg)
	switch {
	case err != nil:
		return fault("database", Error, err, "check database, and that it runs and may be written to")
	case !made:
		return fine("database", "there is none yet; serve makes it in data_dir")
	}
	return fine("database", "it answers, has the right tables, and takes writes")
}

func (p patient) audio(ctx context.Context) []Finding {
	how := ", not encrypted"
	if p.cfg.AudioKey != "" {
		how = ", encrypted"
	}
	if p.cfg.Audio == "" {
		return fine("audio", "a folder in data_dir%s", how)
	}
	if err := p.Audio(ctx, p.cfg); err != nil {
		return fault("audio", Error, err, "check audio, the keys to it, and the network")
	}
	return fine("audio", "it can be reached%s", how)
}

func (p patient) disk(context.Context) []Finding {
	free, err := p.Free(p.cfg.DataDir)
	least := p.cfg.Spool.MinFreeMB * mb
	switch {
	case err != nil:
		return fault("disk", Error, err, "check data_dir")
	case free < least:
		return []Finding{
			{
				"disk",
				Error,
				fmt.Sprintf("%d MB are free, less than spool.min_free_mb %d: calls are refused", free/mb, p.cfg.Spool.MinFreeMB),
				"make room on the disk of data_dir",
			},
		}
	}
	if err := p.Sync(p.cfg.DataDir); err != nil {
		return fault("disk", Error, err, "data_dir must be a local disk that this user may write to")
	}
	if free < 2*least {
		return []Finding{
			{
				"disk",
				Warning,
				fmt.Sprintf("%d MB are free, not much more than spool.min_free_mb %d", free/mb, p.cfg.Spool.MinFreeMB),
				"make room on the disk of data_dir",
			},
		}
	}
	return fine("disk", "%d MB are free, and what is written is kept", free/mb)
}

func (p patient) port(context.Context) []Finding {
	port := p.cfg.WebRTC.UDPPort
	if port == 0 {
		return []Finding{
			{"port", Warning, "webrtc.udp_port is 0: it is another one after each start", "set a port that the firewall lets through"},
		}
	}
	switch err := p.Bind(port); {
	case errors.Is(err, syscall.EADDRINUSE):
		return []Finding{
			{"port", Warning, fmt.Sprintf("UDP port %d is taken", port), "if it is not callscreen serve that runs, set another webrtc.udp_port"},
		}
	case err != nil:
		return fault("port", Error, err, "set another webrtc.udp_port")
	}
	return fine("port", "UDP port %d is free", port)
}

func (p patient) buffer(context.Context) []Finding {
	most, want, err := p.ReceiveBuffer()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return fine("buffer", "this system does not say how large a receive buffer may be")
	case err != nil:
		return fault("buffer", Warning, err, "see what sysctl net.core.rmem_max says")
	case most < want:
		return []Finding{{"buffer", Warning, fmt.Sprintf("net.core.rmem_max is %d, less than %d: packets may be lost under load", most, want),
			fmt.Sprintf("echo net.core.rmem_max=%d > /etc/sysctl.d/callscreen.conf && sysctl --system", want)}}
	}
	return fine("buffer", "net.core.rmem_max is %d", most)
}

func (p patient) ffmpeg(context.Context) []Finding {
	if err := p.Find("ffmpeg"); err != nil {
		return []Finding{
			{"ffmpeg", Warning, "it is not installed; replay reads WAV, MP3 and Ogg Opus only. Live calls do not need it", "apt-get install ffmpeg"},
		}
	}
	return fine("ffmpeg", "it is installed")
}

// job has a test tone analysed. A job that fails for its audio is well: the key is good, and the API works.
func (p patient) job(ctx context.Context) []Finding {
	if p.cfg.Analysis.APIKey == "" {
		return []Finding{{"submit", Error, "nothing can be submitted without a key", "set DATASPIKE_API_KEY or analysis.api_key_file"}}
	}
	err := p.Submit(ctx, p.cfg)
	if err != nil && !analyzer.MayBeAudio(err) {
		return fault("submit", Error, err, "check the key, and that it is good for analysis.base_url")
	}
	return fine("submit", "a test tone was taken, and its job ended")
}
