package doctor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/address"
	"callscreen/internal/config"
)

// patient is the environment and configuration under examination.
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
					"legs with much more than %v of speech will be inconclusive (too_little_coverage): "+
						"analysis.enough_speech skips most of it, and policy.min_coverage is %v",
					time.Duration(float64(enough)/share).Round(time.Second),
					share,
				),
				"set policy.min_coverage: 0 to accept that",
			},
		}
	}
	return fine("configuration", "valid")
}

func (p patient) key(context.Context) []Finding {
	if p.cfg.Analysis.APIKey == "" {
		return []Finding{{"key", Error, "no API key is set", "set DATASPIKE_API_KEY or analysis.api_key_file"}}
	}
	return fine("key", "set; --submit checks that the API accepts it")
}

// skew is the tolerated clock error: receivers of webhooks reject messages with a timestamp some minutes off.
const skew = 30 * time.Second

func (p patient) api(ctx context.Context) []Finding {
	date, err := p.Reach(ctx, p.cfg.Analysis.BaseURL)
	if err != nil {
		return fault("api", Error, err, "check analysis.base_url, the network, and HTTPS_PROXY if a proxy is needed")
	}
	all := fine("api", "%s answers", address.Redact(p.cfg.Analysis.BaseURL))
	if date.IsZero() {
		return all
	}
	if off := p.Now().Sub(date).Round(time.Second); off.Abs() > skew {
		return append(
			all,
			Finding{
				"clock",
				Warning,
				fmt.Sprintf("the clock differs from that of the API by %v", off),
				"enable NTP: timedatectl set-ntp true",
			},
		)
	}
	return append(all, fine("clock", "agrees with the API")...)
}

func (p patient) database(ctx context.Context) []Finding {
	made, err := p.Database(ctx, p.cfg)
	switch {
	case err != nil:
		return fault("database", Error, err, "check the key database, that the database runs, and that this user can write to it")
	case !made:
		return fine("database", "does not exist; serve creates it in data_dir")
	}
	return fine("database", "reachable, current tables, writable")
}

func (p patient) audio(ctx context.Context) []Finding {
	how := ", not encrypted"
	if p.cfg.AudioKey != "" {
		how = ", encrypted"
	}
	if p.cfg.Audio == "" {
		return fine("audio", "a directory in data_dir%s", how)
	}
	if err := p.Audio(ctx, p.cfg); err != nil {
		return fault("audio", Error, err, "check the key audio, the credentials and the network")
	}
	return fine("audio", "reachable%s", how)
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
				fmt.Sprintf("%d MB free, less than spool.min_free_mb %d: calls are refused", free/mb, p.cfg.Spool.MinFreeMB),
				"free space on the disk of data_dir",
			},
		}
	}
	if err := p.Sync(p.cfg.DataDir); err != nil {
		return fault("disk", Error, err, "data_dir must be on a local disk and writable by this user")
	}
	if free < 2*least {
		return []Finding{
			{
				"disk",
				Warning,
				fmt.Sprintf("%d MB free, not much more than spool.min_free_mb %d", free/mb, p.cfg.Spool.MinFreeMB),
				"free space on the disk of data_dir",
			},
		}
	}
	return fine("disk", "%d MB free, fsync works", free/mb)
}

func (p patient) port(context.Context) []Finding {
	port := p.cfg.WebRTC.UDPPort
	if port == 0 {
		return []Finding{
			{"port", Warning, "webrtc.udp_port is 0: the port changes with each start", "set a port that the firewall permits"},
		}
	}
	switch err := p.Bind(port); {
	case errors.Is(err, syscall.EADDRINUSE):
		return []Finding{
			{"port", Warning, fmt.Sprintf("UDP port %d is in use", port), "set another webrtc.udp_port, unless callscreen serve is running"},
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
		return fine("buffer", "this system does not report the largest receive buffer")
	case err != nil:
		return fault("buffer", Warning, err, "check sysctl net.core.rmem_max")
	case most < want:
		return []Finding{{"buffer", Warning, fmt.Sprintf("net.core.rmem_max is %d, less than %d: packets may be lost under load", most, want),
			fmt.Sprintf("echo net.core.rmem_max=%d > /etc/sysctl.d/callscreen.conf && sysctl --system", want)}}
	}
	return fine("buffer", "net.core.rmem_max is %d", most)
}

func (p patient) ffmpeg(context.Context) []Finding {
	if err := p.Find("ffmpeg"); err != nil {
		return []Finding{
			{"ffmpeg", Warning, "not installed: replay reads only WAV, MP3 and Ogg Opus; live calls do not need it", "apt-get install ffmpeg"},
		}
	}
	return fine("ffmpeg", "installed")
}

// job submits a test tone. A job that fails because of its audio is a success: the key is valid, and the API works.
func (p patient) job(ctx context.Context) []Finding {
	if p.cfg.Analysis.APIKey == "" {
		return []Finding{{"submit", Error, "submitting needs a key", "set DATASPIKE_API_KEY or analysis.api_key_file"}}
	}
	err := p.Submit(ctx, p.cfg)
	if err != nil && !analyzer.MayBeAudio(err) {
		return fault("submit", Error, err, "check the key, and that it is valid for analysis.base_url")
	}
	return fine("submit", "a test tone was accepted, and its job ended")
}
