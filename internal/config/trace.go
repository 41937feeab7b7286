package config

import "net/url"

// Trace says who is told what is done about calls.
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
		ps.add("trace.endpoint", "write http://127.0.0.1:4318", "%q is no web address", t.Endpoint)
	case u.User != nil:
		ps.add("trace.endpoint", "headers go into OTEL_EXPORTER_OTLP_HEADERS", "must not hold credentials")
	}
}
