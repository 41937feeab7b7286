package auth

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"callscreen/internal/config"
)

// checkListen returns an error if authentication is off and other machines can connect.
func (a *Auth) checkListen(cfg config.Config) error {
	if !a.Off() {
		return nil
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return err
	}
	if !loopback(host) {
		return errors.New(
			"listen is not a loopback address and no authentication is configured: any client could send and view calls " +
				"(hint: set CALLSCREEN_INGEST_TOKEN and CALLSCREEN_REVIEW_TOKEN, or listen on 127.0.0.1)",
		)
	}
	for key, address := range map[string]string{"admin_listen": cfg.AdminListen, "health_listen": cfg.HealthListen} {
		if address == "" {
			continue
		}
		if host, _, err = net.SplitHostPort(address); err != nil {
			return err
		}
		if !loopback(host) {
			return fmt.Errorf(
				"%s is not a loopback address and no authentication is configured: any client could use it "+
					"(hint: set CALLSCREEN_ADMIN_TOKEN, or listen on 127.0.0.1)",
				key,
			)
		}
	}
	return nil
}

// hostOf returns the host of host:port, or of a host alone.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
