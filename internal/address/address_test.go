package address_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"callscreen/internal/address"
)

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"https://host":                     "https://host",
		"https://host:8443/":               "https://host:8443/",
		"https://host/services/T0/SECRET":  "https://host/[redacted]",
		"https://host?token=SECRET":        "https://host/[redacted]",
		"https://host/#SECRET":             "https://host/[redacted]",
		"https://SECRET@host":              "https://[redacted]@host",
		"postgres://u:SECRET@host:5432/db": "postgres://[redacted]@host:5432/[redacted]",
		"https://u:SEC RET@host":           "https://[redacted]",
		"https://u:SECRET/x@host":          "https://[redacted]",
		"https://[::1]:8080/SECRET":        "https://[::1]:8080/[redacted]",
		"file:///SECRET":                   "file://[redacted]",
		"host/SECRET":                      "[redacted]",
		"u:SECRET@host":                    "[redacted]",
		"collector:4318":                   "collector:4318",
		"https:SECRET":                     "[redacted]",
		"":                                 "",
	} {
		if got := address.Redact(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestTextsOfErrorsAreRedacted(t *testing.T) {
	for text, want := range map[string]string{
		`Post "https://h/SECRET": dial tcp h:1: connection refused`: `Post "https://h/[redacted]": dial tcp h:1: connection refused`,
		`parse "https://u:SEC RET@h": invalid userinfo`:             `parse "https://[redacted]": invalid userinfo`,
		`parse "u:SECRET@h": first path segment`:                    `parse "[redacted]": first path segment`,
		`invalid proxy address "u:SEC\"RET@h": parse`:               `invalid proxy address "[redacted]": parse`,
		`see https://h/SECRET, or https://h2.`:                      `see https://h/[redacted], or https://h2.`,
		`open "a.wav": no such file`:                                `open "a.wav": no such file`,
		`Post "/SECRET": more than 3 redirects`:                     `Post "[redacted]": more than 3 redirects`,
		`no address at all`:                                         `no address at all`,
	} {
		if got := address.Text(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
		if again := address.Text(want); again != want {
			t.Errorf("%s becomes %s", want, again)
		}
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	inner := &url.Error{Op: "Get", URL: "https://h/SECRET?a=SECRET", Err: context.DeadlineExceeded}
	err := address.Error(errors.Join(inner, http.ErrHandlerTimeout))
	if strings.Contains(err.Error(), "SECRET") || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, http.ErrHandlerTimeout) {
		t.Error(err)
	}
	if address.Error(nil) != nil || !errors.Is(address.Error(http.ErrHandlerTimeout), http.ErrHandlerTimeout) {
		t.Error("an error without addresses is another one")
	}
}

// Nothing of the path, the query or the user info is left, whatever is in them.
func FuzzText(f *testing.F) {
	f.Add("SECRET")
	f.Add(`a"b`)
	f.Add("a b%zz")
	f.Fuzz(func(t *testing.T, s string) {
		const mark = "7f3a9c"
		user := url.UserPassword(mark, s+mark).String()
		for _, a := range []string{"https://h/" + s + mark, "https://h/?" + mark + s, "https://" + user + "@h/"} {
			err := address.Error(&url.Error{Op: "Post", URL: a, Err: context.Canceled})
			if strings.Contains(err.Error(), mark) {
				t.Errorf("%q leaves %q", a, err)
			}
		}
	})
}
