// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendoc FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gendoc:", err)
		os.Exit(1)
	}
}

// run writes all pages into a folder.
func run(folder string) error {
	for _, p := range pages {
		text, err := p.make()
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if err := os.WriteFile(filepath.Join(folder, p.file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pages are the generated pages by file name.
var pages = []struct {
	file string
	make func() (string, error)
}{
	{"http.md", httpPage},
	{"protocol.md", protocolPage},
}
