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

// reloaded are the sections that take effect while the program runs.
var reloaded = map[string]bool{"policy": true, "auth": true, "webhooks": true, "webhook_allow": true}

// Reload puts another policy, other tokens and other webhooks in force, all of them or, on an error, none. No call is
// touched: what is decided from now on is decided by the new policy. What else has changed is told in the log, and takes
// effect with the next start.
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
	a.opt.Log.Info("the configuration is read again", "policy_version", version, "webhooks", len(endpoints))
	if late := later(a.opt.Config, cfg); len(late) > 0 {
		a.opt.Log.Warn(
			"some of what has changed takes effect with the next start",
			"sections",
			late,
			"hint",
			"policy, auth.tokens and webhooks are taken over at once",
		)
	}
	return nil
}

// later lists the sections that differ and are not taken over.
func later(was, is config.Config) (sections []string) {
	before, after := reflect.ValueOf(was), reflect.ValueOf(is)
	for i := range before.NumField() {
		name := before.Type().Field(i).Tag.Get("yaml")
		if !reloaded[name] && !reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()) {
			sections = append(sections, name)
		}
	}
	return sections
}
