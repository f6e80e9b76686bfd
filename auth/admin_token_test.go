// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestAdminTokenCreated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	tok, created, err := LoadAdminTokens(path)
	if err != nil || !created {
		t.Fatalf("created is %t, error %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 44 || b[43] != '\n' {
		t.Errorf("the file has %d bytes, error %v; want 32 of base64url and a newline", len(b), err)
	}
	again, created, err := LoadAdminTokens(path)
	if err != nil || created || !reflect.DeepEqual(again, tok) {
		t.Errorf("the second time: created %t, the same %t, error %v", created, reflect.DeepEqual(again, tok), err)
	}
	text, err := ReadAdminToken(path)
	if err != nil || !matches(tok, text) {
		t.Errorf("what was read does not match, error %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(names) != 1 {
		t.Errorf("the folder has %v", names)
	}
	hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(hidden) != 0 {
		t.Errorf("the folder has %v", hidden)
	}
}

func matches(t AdminTokens, presented string) bool {
	_, ok := t.Identify([]byte(presented))
	return ok
}

// Tokens have names and scopes. A file can have only their digests.
func TestAdminTokensOfMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	sum := sha256.Sum256([]byte("the-token-of-grafana"))
	writeFile(t, path, "# of the platform\n"+
		"grafana read sha256:"+hex.EncodeToString(sum[:])+"\n\n"+
		"deployer publish,read the-token-of-deployer\n"+
		"ops admin the-token-of-ops\nthe-token-of-nobody-else\n", 0o600)
	tokens, _, err := LoadAdminTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]struct {
		name                 string
		publish, read, admin bool
	}{
		"the-token-of-grafana":     {"grafana", false, true, false},
		"the-token-of-deployer":    {"deployer", true, true, false},
		"the-token-of-ops":         {"ops", true, true, true},
		"the-token-of-nobody-else": {"admin", true, true, true},
	} {
		a, ok := tokens.Identify([]byte(token))
		if !ok || a.Name != want.name || a.HasScope(ScopePublish) != want.publish || a.HasScope(ScopeRead) != want.read || a.HasScope(ScopeAdmin) != want.admin {
			t.Errorf("%s is of %+v, %t", token, a, ok)
		}
	}
	if first, err := ReadAdminToken(path); err != nil || first != "the-token-of-deployer" {
		t.Errorf("programs send %q, error %v", first, err)
	}
	writeFile(t, path, "grafana read sha256:"+hex.EncodeToString(sum[:]), 0o600)
	if _, err := ReadAdminToken(path); err == nil || !strings.Contains(err.Error(), "only digests") {
		t.Errorf("of digests only: %v", err)
	}
}

func TestAdminTokenMatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	writeFile(t, path, "  a-token-of-ours!\r\n", 0o400)
	tok, created, err := LoadAdminTokens(path)
	if err != nil || created {
		t.Fatalf("created is %t, error %v", created, err)
	}
	for presented, want := range map[string]bool{
		"a-token-of-ours!": true, "": false, "a-token-of-ours": false, "a-token-of-ours!\n": false,
		"A-token-of-ours!": false, strings.Repeat("a", 1<<16): false,
	} {
		if matches(tok, presented) != want {
			t.Errorf("Matches(%.20q) is %t", presented, !want)
		}
		if matches(AdminTokens{}, presented) {
			t.Errorf("the zero token matches %.20q", presented)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", tok, tok, tok), "a-token") {
		t.Error("the token prints itself")
	}
}

func TestAdminTokenRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		mode       fs.FileMode
		says       string
	}{
		{"empty", "", 0o600, "has no token"},
		{"blank", " \n\n", 0o600, "has no token"},
		{"short", "fifteen-letters\n", 0o600, "has 15 characters; want at least 16"},
		{"twice", "a-token-of-ours!\na-token-of-ours!\n", 0o600, "line 2: the name or the token is a duplicate"},
		{"not ASCII", "ein-schlüssel-für-uns", 0o600, "printable ASCII"},
		{"two words", "a-token-of ours!", 0o600, "NAME SCOPE[,SCOPE] TOKEN"},
		{"a bad name", "a.b read a-token-of-ours!", 0o600, "line 1: the name"},
		{"no scope", "# ours\n\nci write a-token-of-ours!", 0o600, `line 3: "write" is not a scope; want publish, read or admin`},
		{"a name twice", "ci read a-token-of-ours!\nci read a-token-of-yours", 0o600, "line 2: the name or the token is a duplicate"},
		{"a bad digest", "ci read sha256:abc", 0o600, "64 hexadecimal digits"},
		{"UTF-16", "\xff\xfea\x00b\x00", 0o600, "UTF-16"},
		{"too long", strings.Repeat("a", 70000), 0o600, "has 70000 bytes"},
		{"readable by all", "a-token-of-ours!", 0o604, "chmod 600"},
		{"writable by the group", "a-token-of-ours!", 0o620, "chmod 600"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "admin.token")
			writeFile(t, path, test.text, test.mode)
			_, created, err := LoadAdminTokens(path)
			if err == nil || created {
				t.Fatalf("created is %t, error %v", created, err)
			}
			if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v; want one that says %q and names the file", err, test.says)
			}
			if text := strings.TrimSpace(test.text); text != "" && strings.Contains(err.Error(), text) {
				t.Error("the error contains the token")
			}
			if b, _ := os.ReadFile(path); string(b) != test.text {
				t.Error("the file was changed")
			}
		})
	}
}

// Windows editors write a byte order mark, and CR LF at the end of lines.
func TestAdminTokenOfWindows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	writeFile(t, path, "\ufeffa-token-of-ours!\r\nci read another-token-of-ours\r\n", 0o600)
	tokens, err := ReadAdminTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	for token, name := range map[string]string{"a-token-of-ours!": "admin", "another-token-of-ours": "ci"} {
		if a, ok := tokens.Identify([]byte(token)); !ok || a.Name != name {
			t.Errorf("%s is of %q, want %q", token, a.Name, name)
		}
	}
}

// The volume of a Secret in a pod with fsGroup: root owns the file, the pod's group can
// read it, and its path has two symbolic links.
func TestAdminTokenOfSecret(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "..v1"), 0o755), os.Symlink("..v1", filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	path, file := filepath.Join(dir, "token"), filepath.Join(dir, "..v1", "token")
	writeFile(t, file, "a-token-of-ours!", 0o440)
	if err := errors.Join(os.Symlink("..data/token", path), os.Chown(file, 0, 2000)); err != nil {
		t.Fatal(err)
	}
	if tokens, created, err := LoadAdminTokens(path); err != nil || created || !matches(tokens, "a-token-of-ours!") {
		t.Errorf("created %t, error %v", created, err)
	}
	if text, err := ReadAdminToken(path); err != nil || text != "a-token-of-ours!" {
		t.Errorf("%q, error %v", text, err)
	}
	if err := os.Chown(file, 65532, 2000); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAdminTokens(path); err == nil || !strings.Contains(err.Error(), "user 65532 owns it") {
		t.Errorf("of a user other than root: error %v", err)
	}
}

func TestAdminTokenNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, _, err := LoadAdminTokens(filepath.Join(dir, "admin.token"))
	if err == nil || !strings.Contains(err.Error(), "the folder "+dir) {
		t.Errorf("error %v", err)
	}
}

func TestAdminTokenIsAFolder(t *testing.T) {
	if _, _, err := LoadAdminTokens(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("error %v", err)
	}
}

func TestReadAdminTokenMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	_, err := ReadAdminToken(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

// Programs that start at the same time create one token.
func TestAdminTokenTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	var mu sync.Mutex
	var wg sync.WaitGroup
	made := 0
	tokens := make(map[digest]bool)
	for range 16 {
		wg.Go(func() {
			tok, created, err := LoadAdminTokens(path)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("error %v", err)
			}
			if created {
				made++
			}
			if len(tok.tokens) == 1 {
				tokens[tok.tokens[0].digest] = true
			}
		})
	}
	wg.Wait()
	if made != 1 || len(tokens) != 1 {
		t.Errorf("%d made it, and there are %d tokens", made, len(tokens))
	}
}

func writeFile(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}
