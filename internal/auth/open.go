package auth

import (
	"errors"
	"net"

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
	if cfg.AdminListen == "" {
		return nil
	}
	if host, _, err = net.SplitHostPort(cfg.AdminListen); err != nil {
		return err
	}
	if !loopback(host) {
		return errors.New(
			"admin_listen is not a loopback address and no authentication is configured: any client could erase calls " +
				"(hint: set CALLSCREEN_ADMIN_TOKEN, or listen on 127.0.0.1)",
		)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
