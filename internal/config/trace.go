package config

import (
	"net/url"

	"callscreen/internal/address"
)

// Trace configures the export of spans.
type Trace struct {
	Endpoint string `yaml:"endpoint"`
}

func (t Trace) validate(ps *Problems) {
	if t.Endpoint == "" {
		return
	}
	u, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		ps.add("trace.endpoint", "write http://127.0.0.1:4318", "%q is not an http or https URL", address.Redact(t.Endpoint))
	case u.User != nil:
		ps.add("trace.endpoint", "set headers in OTEL_EXPORTER_OTLP_HEADERS", "must not contain credentials")
	}
}
