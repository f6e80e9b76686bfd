// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"sync/atomic"

	"github.com/gatecast/gatecast/auth"
)

// admins are the admin tokens of a file that is watched.
type admins struct {
	file   string
	tokens atomic.Pointer[auth.AdminTokens]
}

// loadAdmins reads the admin tokens, or makes one.
func (n *Node) loadAdmins() (*admins, error) {
	tokens, created, err := auth.LoadAdminTokens(n.cfg.AdminTokenFile)
	if err != nil {
		return nil, settings.NewError("admin-token-file", err.Error())
	}
	if created {
		n.cfg.Logger.Info("admin token made", "file", n.cfg.AdminTokenFile)
	}
	a := &admins{file: n.cfg.AdminTokenFile}
	a.tokens.Store(&tokens)
	return a, nil
}

// Identify returns whose token was presented.
func (a *admins) Identify(presented string) (auth.Admin, bool) {
	return a.tokens.Load().Identify(presented)
}

func (a *admins) String() string  { return "admin tokens" }
func (a *admins) files() []string { return []string{a.file} }

func (a *admins) load() error {
	tokens, err := auth.ReadAdminTokens(a.file)
	if err == nil {
		a.tokens.Store(&tokens)
	}
	return err
}
