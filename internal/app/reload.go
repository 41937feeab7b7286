package app

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/hook"
	"callscreen/internal/outbound"
)

// reloaded are the sections that a reload puts in force.
var reloaded = map[string]bool{"policy": true, "auth": true, "webhooks": true, "webhook_allow": true}

// Reload puts another policy, other tokens and other webhooks in force: all of them or, on an error, none. Calls go on;
// later decisions use the new policy. Changes of other sections are logged and take effect at the next start.
func (a *App) Reload(ctx context.Context, cfg config.Config, tokens auth.Tokens) error {
	endpoints, err := hook.Endpoints(cfg.Webhooks)
	if err != nil {
		return err
	}
	allow, err := outbound.Parse(cfg.WebhookAllow)
	if err != nil {
		return fmt.Errorf("webhook_allow: %w", err)
	}
	useTokens, err := a.auth.Renew(cfg, tokens)
	if err != nil {
		return err
	}
	rules, err := json.Marshal(cfg.Policy)
	if err != nil {
		return err
	}
	version, err := a.store.UsePolicy(ctx, rules, time.Now())
	if err != nil {
		return err
	}
	useTokens()
	a.decider.UsePolicy(cfg.Policy, version)
	a.hooks.replace(a.dispatcher(endpoints, allow))
	a.opt.Log.Info("configuration reloaded", "policy_version", version, "webhooks", len(endpoints))
	if late := later(a.opt.Config, cfg); len(late) > 0 {
		a.opt.Log.Warn(
			"some changes take effect at the next start",
			"sections",
			late,
			"hint",
			"policy, tokens, roles and webhooks take effect at once",
		)
	}
	return nil
}

// later returns the sections that differ and are not reloaded.
func later(was, is config.Config) (sections []string) {
	before, after := reflect.ValueOf(was), reflect.ValueOf(is)
	for i := range before.NumField() {
		name := before.Type().Field(i).Tag.Get("yaml")
		if !reloaded[name] && !reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()) {
			sections = append(sections, name)
		}
	}
	if !reflect.DeepEqual(fixedAuth(was.Auth), fixedAuth(is.Auth)) {
		sections = append(sections, "auth")
	}
	return sections
}

// fixedAuth returns the part of the section auth that a reload does not put in force.
func fixedAuth(a config.Auth) config.Auth {
	a.Tokens, a.Groups, a.OIDC.Roles, a.Proxy.Roles = nil, nil, nil, nil
	return a
}
