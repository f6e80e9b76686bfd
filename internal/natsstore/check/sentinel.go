// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// checkSentinel returns an error when the sentinel file says that there is a log in the
// folder, and there is none: typically its disk is not mounted. Without this check, a node would
// start with an empty registry and refuse all gateways. With Config.Repair an empty log begins
// there instead.
func checkSentinel(cfg Config) error {
	if cfg.Sentinel == "" || !exists(cfg.Sentinel) {
		return nil
	}
	streams, err := streamsIn(cfg.Dir)
	if exists(filepath.Join(cfg.Dir, markerFile)) || err == nil && len(streams) > 0 {
		return nil
	}
	if !cfg.Repair {
		return fmt.Errorf("event log: %s says that there was a log in %s, and there is none; mount its disk or restore the folder from a backup, or start once with --repair, which begins an empty log without any gateways",
			cfg.Sentinel, cfg.Dir)
	}
	if exists(cfg.Dir) && !isFolder(cfg.Dir) {
		if err := os.Rename(cfg.Dir, cfg.Dir+damagedSuffix()); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
	}
	cfg.Logger.Warn("event log: the whole log is lost: every event, gateway and token; starting with an empty log", "folder", cfg.Dir, "marker", cfg.Sentinel)
	return nil
}

// damagedSuffix ends the name that a damaged file or folder is moved to.
func damagedSuffix() string { return "-damaged-" + timestamp() }

func timestamp() string { return time.Now().UTC().Format("20060102T150405.000Z") }

// writeSentinel writes the sentinel file, if there is none.
func writeSentinel(cfg Config) error {
	if cfg.Sentinel == "" || exists(cfg.Sentinel) {
		return nil
	}
	b, err := json.Marshal(map[string]any{"log": cfg.Dir, "since": time.Now().UTC()})
	if err != nil {
		panic("BUG: a sentinel does not marshal: " + err.Error())
	}
	if err := writeSynced(cfg.Sentinel, append(b, '\n')); err != nil {
		return fmt.Errorf("event log: %w; %s", err, remedy(err))
	}
	return nil
}
