// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The commands of these documents run in order in one shell.
func TestReadmeCommands(t *testing.T)   { runDocument(t, "README.md", 1, bash) }
func TestTutorialCommands(t *testing.T) { runDocument(t, "docs/tutorial.md", 10, bash, "curl") }

// A step is one ```sh block and the ```text and ```json blocks that follow it: what it prints.
type step struct {
	line     int // of the block
	commands string
	shows    []output
}

// An output is a block of lines. "…" stands for any text in a line; a line of it alone stands for
// any number of lines.
type output struct {
	line  int
	lines []string
}

// steps returns the steps of a document.
func steps(t *testing.T, name string) []step {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	var all []step
	var block []string
	language, begins := "", 0
	for i, l := range strings.Split(string(text), "\n") {
		info, fence := strings.CutPrefix(l, "```")
		switch {
		case fence && begins == 0:
			language, begins, block = info, i+1, nil
		case fence:
			switch {
			case language == "sh":
				all = append(all, step{line: begins, commands: strings.Join(block, "\n") + "\n"})
			case (language == "text" || language == "json") && len(all) > 0:
				last := &all[len(all)-1]
				last.shows = append(last.shows, output{begins, block})
			}
			begins = 0
		default:
			block = append(block, l)
		}
	}
	return all
}

// missing returns the first line that a program's output does not have, or "".
func (o output) missing(printed []string) string {
	for _, want := range o.lines {
		if want == "…" {
			continue
		}
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + "$")
		for {
			if len(printed) == 0 {
				return want
			}
			next := printed[0]
			printed = printed[1:]
			if pattern.MatchString(next) {
				break
			}
		}
	}
	return ""
}

// runDocument runs a document's steps, at least so many, in one bash, in an empty folder with a real
// gatecast in PATH. After each step it waits until the step has printed what the document shows. It
// skips the test if a program that the document needs is missing.
func runDocument(t *testing.T, name string, least int, needs ...string) {
	t.Parallel()
	for _, program := range needs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s needs %s: %v", name, program, err)
		}
	}
	all := steps(t, name)
	if len(all) < least {
		t.Fatalf("%s has %d blocks of commands, want at least %d", name, len(all), least)
	}
	sh := startShell(t, all)
	for _, s := range all {
		from := sh.marker(fmt.Sprintf("before %d", s.line))
		sh.proceed()
		for {
			at := sh.next(fmt.Sprintf("the end of the commands at %s:%d", name, s.line))
			if sh.line(at) == pauseMarker {
				sh.waitFor(output{s.line, []string{"gatecast: connected as gateway …"}}, from, name)
				sh.proceed()
				continue
			}
			break
		}
		for _, o := range s.shows {
			sh.waitFor(o, from, name)
		}
		sh.proceed()
	}
}

const (
	bash         = "/bin/bash"
	markerPrefix = "--8<-- "
	pauseMarker  = markerPrefix + "pause"
	patience     = time.Minute
)

// A shell runs the steps of a document. At each marker it waits for proceed.
type shell struct {
	t    *testing.T
	cmd  *exec.Cmd
	gate *os.File // a line lets the shell go on
	seen int      // lines that marker has passed

	mu    sync.Mutex
	more  *sync.Cond
	lines []string // standard output and standard error together
	ended bool
}

// startShell starts a shell that runs the steps. It ends, with all that it started, when the test does.
func startShell(t *testing.T, all []step) *shell {
	t.Helper()
	dir := t.TempDir()
	// A pause in a document gives a client time to connect. Here it lasts exactly that long.
	script := "sleep() { if [ \"$1\" = 1 ]; then echo '" + pauseMarker + "'; read -r _ <&3; else command sleep \"$1\"; fi; }\n"
	for _, s := range all {
		script += fmt.Sprintf("echo '%sbefore %d'; read -r _ <&3\n%secho '%safter %d'; read -r _ <&3\n",
			markerPrefix, s.line, s.commands, markerPrefix, s.line)
	}
	bin := build(t)
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if isolate(cmd.SysProcAttr) {
		cmd.Env = append(env, inNamespace+"=1")
	} else { // the documents' ports may be in use
		gateways, internal := freePort(t), freePort(t)
		script = strings.NewReplacer("9243", gateways, "9244", internal).Replace(script)
		cmd = exec.Command(bash)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Env = append(env, "GATECAST_LISTEN=127.0.0.1:"+gateways, "GATECAST_INTERNAL_LISTEN=127.0.0.1:"+internal,
			"GATECAST_INTERNAL_URL=http://127.0.0.1:"+internal)
	}
	cmd.Args = []string{"bash", "-e", "-c", script}
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	theirs, gate, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	sh := &shell{t: t, cmd: cmd, gate: gate}
	sh.more = sync.NewCond(&sh.mu)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		sh.read(stdout)
	}()
	t.Cleanup(func() {
		gate.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-reading
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("printed:\n%s", strings.Join(sh.lines, "\n"))
		}
	})
	return sh
}

func (s *shell) read(out io.Reader) {
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		s.mu.Lock()
		s.lines = append(s.lines, scanner.Text())
		s.more.Broadcast()
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.ended = true
	s.more.Broadcast()
	s.mu.Unlock()
}

// until waits until done, which is called with mu held, is true. It fails the test when the shell
// ends before that, or when it takes too long.
func (s *shell) until(what func() string, done func() bool) {
	s.t.Helper()
	late := false
	alarm := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.more.Broadcast()
	})
	defer alarm.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !done() {
		if s.ended || late {
			s.t.Fatalf("shell ended: %t; waited for %s", s.ended, what())
		}
		s.more.Wait()
	}
}

// next waits for the next marker and returns its line's index.
func (s *shell) next(what string) int {
	s.t.Helper()
	s.until(func() string { return what }, func() bool {
		for ; s.seen < len(s.lines); s.seen++ {
			if strings.HasPrefix(s.lines[s.seen], markerPrefix) {
				s.seen++
				return true
			}
		}
		return false
	})
	return s.seen - 1
}

// marker waits for a marker and returns the index of the line after it.
func (s *shell) marker(name string) int {
	s.t.Helper()
	if at := s.next(name); s.line(at) != markerPrefix+name {
		s.t.Fatalf("the shell is at %q, want %q", s.line(at), name)
	}
	return s.seen
}

func (s *shell) line(i int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines[i]
}

// proceed lets the shell go on after a marker.
func (s *shell) proceed() {
	s.t.Helper()
	if _, err := s.gate.WriteString("\n"); err != nil {
		s.t.Fatal(err)
	}
}

// waitFor waits until an output is among the lines from an index on.
func (s *shell) waitFor(o output, from int, name string) {
	s.t.Helper()
	var missing string
	s.until(func() string { return fmt.Sprintf("%s:%d: %q", name, o.line, missing) }, func() bool {
		missing = o.missing(s.lines[from:])
		return missing == ""
	})
}

// build returns a folder with a gatecast in it.
var build = func() func(t *testing.T) string {
	var once sync.Once
	var dir string
	var err error
	return func(t *testing.T) string {
		once.Do(func() {
			if dir, err = os.MkdirTemp("", "gatecast-docs-"); err != nil {
				return
			}
			removeAtEnd = dir
			cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "gatecast"), "./cmd/gatecast")
			cmd.Dir = root
			if out, buildErr := cmd.CombinedOutput(); buildErr != nil {
				err = fmt.Errorf("go build: %w\n%s", buildErr, out)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
}()

var removeAtEnd string // the folder that build made

// inNamespace, in the environment, has the test binary run a shell in its own network namespace.
const inNamespace = "GATECAST_TEST_NAMESPACE"

func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) != "" {
		os.Exit(runInNamespace())
	}
	code := m.Run()
	if removeAtEnd != "" {
		os.RemoveAll(removeAtEnd)
	}
	os.Exit(code)
}

// isolate asks for a network namespace of its own, in which no port is in use. It reports whether
// this machine allows that.
func isolate(attr *syscall.SysProcAttr) bool {
	attr.Cloneflags = syscall.CLONE_NEWNET
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	probe := exec.Command("/proc/self/exe", "-c", "exit 0")
	probe.Args[0] = "bash"
	probe.Env = append(os.Environ(), inNamespace+"=1")
	probe.SysProcAttr = attr
	return probe.Run() == nil
}

// runInNamespace brings the loopback interface up and becomes the shell.
func runInNamespace() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "socket:", err)
		return 1
	}
	request, err := unix.NewIfreq("lo")
	if err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		return 1
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		fmt.Fprintln(os.Stderr, "loopback up:", err)
		return 1
	}
	os.Unsetenv(inNamespace)
	err = syscall.Exec(bash, os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, "exec:", err)
	return 1
}

// freePort returns a port that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}
