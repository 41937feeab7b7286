package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"callscreen/internal/address"
)

// Describe writes the reference: every key with its default, its help text and its environment variable. The result is
// a valid configuration file.
func Describe(w io.Writer) error {
	c := Default()
	var b bytes.Buffer
	walk("", reflect.ValueOf(&c).Elem(), func(f field) {
		indent := strings.Repeat("  ", strings.Count(f.path, "."))
		if f.section() && indent == "" {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s# %s\n", indent, help[f.path])
		if f.section() {
			fmt.Fprintf(&b, "%s%s:\n", indent, f.name)
			return
		}
		fmt.Fprintf(&b, "%s%s: %s # %s\n", indent, f.name, scalar(f.value), f.env())
	})
	_, err := w.Write(b.Bytes())
	return err
}

func scalar(v reflect.Value) string {
	if list, ok := v.Interface().([]string); ok {
		return "[" + strings.Join(list, ", ") + "]"
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return "[]"
	}
	out, err := yaml.Marshal(v.Interface())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// Print writes the effective configuration, with secrets redacted, as a file that Load accepts. Of web addresses it shows scheme,
// host and port.
func (c Config) Print(w io.Writer) error {
	out, err := yaml.Dump(c.withoutPaths(), yaml.WithIndent(2))
	if err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	_, err = w.Write(out)
	return err
}

// withoutPaths returns a copy whose web addresses are redacted.
func (c Config) withoutPaths() Config {
	c.Webhooks = slices.Clone(c.Webhooks)
	for i := range c.Webhooks {
		c.Webhooks[i].URL = address.Redact(c.Webhooks[i].URL)
	}
	for _, web := range []*string{
		&c.Analysis.BaseURL, &c.Auth.OIDC.Issuer, &c.Auth.OIDC.RedirectURL, &c.Auth.JWT.JWKS, &c.Trace.Endpoint,
	} {
		if strings.Contains(*web, "://") {
			*web = address.Redact(*web)
		}
	}
	return c
}
