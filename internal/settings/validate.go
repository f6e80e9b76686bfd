// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatecast/gatecast/internal/event"
)

// Validate returns the first setting that cannot be used as an [*Error], or nil. It opens
// no file and no connection.
func (s *Settings) Validate() error {
	fields := reflect.ValueOf(s).Elem()
	for _, d := range All() {
		if err := d.check(fields.FieldByIndex(d.index)); err != nil {
			return err
		}
	}
	return cmp.Or(s.checkEach(), s.checkTogether())
}

// check compares a value with the limits that the tags state.
func (d *Setting) check(v reflect.Value) error {
	if values, ok := d.tag.Lookup("oneof"); ok {
		if known := strings.Split(values, ","); !slices.Contains(known, v.String()) && (v.String() != "" || d.Default != "") {
			return d.wrong(strconv.Quote(v.String()) + " is unknown")
		}
		return nil
	}
	if _, ok := d.tag.Lookup("zero"); ok && v.IsZero() {
		return nil
	}
	least, most, above := d.bound("min"), d.bound("max"), d.bound("above")
	// A number that is not one (NaN) is neither within a bound nor beyond it.
	if least.IsValid() && !atMost(least, v) || most.IsValid() && !atMost(v, most) || above.IsValid() && !less(above, v) {
		return d.wrong(format(d.typ, v.Interface()) + " is out of range")
	}
	return nil
}

// wrong returns the error about a value, with the limits as the remedy.
func (d *Setting) wrong(problem string) error {
	return &Error{d.Name, problem + "; want " + d.Limits()}
}

// bound returns the value of a tag that states a limit, the invalid one for none.
func (d *Setting) bound(tag string) reflect.Value {
	text, ok := d.tag.Lookup(tag)
	if !ok {
		return reflect.Value{}
	}
	v := reflect.New(reflect.TypeFor[Settings]().FieldByIndex(d.index).Type).Elem()
	if err := Decode(d.typ, text, v); err != nil {
		panic("BUG: the limits of " + d.Name + ": " + err.Error())
	}
	return v
}

// less compares two values of a field: integers, times and sizes, or floats.
func less(a, b reflect.Value) bool {
	if a.CanFloat() {
		return a.Float() < b.Float()
	}
	return a.Int() < b.Int()
}

// atMost is not the negation of less: both are false for NaN.
func atMost(a, b reflect.Value) bool {
	if a.CanFloat() {
		return a.Float() <= b.Float()
	}
	return a.Int() <= b.Int()
}

// checkEach has the checks of single values that no tag but rule states.
func (s *Settings) checkEach() error {
	return cmp.Or(
		checkAddress("listen", s.Listen),
		checkAddress("internal-listen", s.InternalListen),
		check(s.DataDir != "", "data-dir", `"" names no folder`),
		checkPaths("connect-path", s.ConnectPath),
		checkBaseURL("platform-url", s.PlatformURL),
		checkBaseURL("verify-url", s.VerifyURL),
		checkBaseURL("otlp-endpoint", s.OTLPEndpoint),
		checkOrigins("allowed-origins", s.AllowedOrigins),
		check(s.Log == LogFile || s.Log == LogMemory || s.LogURL() != "", "log", "the value is unknown"), // it may hold a password
		check(s.NodeID == "" || event.ValidName(s.NodeID), "node", fmt.Sprintf("%q cannot name a node", s.NodeID)),
		check(validCloseCode(s.ShutdownCode), "shutdown-code", fmt.Sprintf("%d cannot be sent in a close frame", s.ShutdownCode)),
		check(s.ConnectionTimeout > s.PingInterval, "connection-timeout",
			fmt.Sprintf("%v closes every connection between two pings, which are --ping-interval %v apart", s.ConnectionTimeout, s.PingInterval)),
		check(s.SendQueueBytes >= s.MaxPayload, "send-queue-bytes",
			fmt.Sprintf("%s cannot hold one event of --max-payload %s", format("size", s.SendQueueBytes), format("size", s.MaxPayload))),
		check(s.RetentionBytes >= int64(s.MaxPayload), "retention-bytes",
			fmt.Sprintf("%s cannot hold one event of --max-payload %s", format("size", s.RetentionBytes), format("size", s.MaxPayload))),
	)
}

// A relation is a rule about settings that contradict or need each other.
type relation struct {
	setting string // the one that an error names
	text    string // what is wrong and what to do
	ok      func(*Settings) bool
}

// relations are checked in this order, after the single values. Only the first that is broken
// is reported.
var relations = []relation{
	{"tls-cert", "needs --tls-key too", func(s *Settings) bool { return s.TLSCert == "" || s.TLSKey != "" }},
	{"tls-key", "needs --tls-cert too", func(s *Settings) bool { return s.TLSKey == "" || s.TLSCert != "" }},
	{"internal-tls-cert", "needs --internal-tls-key too", func(s *Settings) bool { return s.InternalTLSCert == "" || s.InternalTLSKey != "" }},
	{"internal-tls-key", "needs --internal-tls-cert too", func(s *Settings) bool { return s.InternalTLSKey == "" || s.InternalTLSCert != "" }},
	{"plaintext", "contradicts --tls-cert; leave one of them out", func(s *Settings) bool { return !s.Plaintext || s.TLSCert == "" }},
	{"tls-client-ca", "contradicts --plaintext, which has no certificates; leave one of them out", func(s *Settings) bool { return !s.Plaintext || s.TLSClientCA == "" }},
	{"platform-ca", "needs --platform-url or --verify-url", func(s *Settings) bool { return s.PlatformCA == "" || s.PlatformURL != "" || s.VerifyURL != "" }},
	{"event-types-strict", "needs --event-types", func(s *Settings) bool { return !s.EventTypesStrict || s.EventTypes != "" }},
	{"log-replicas", "needs --log nats://…; a log on this machine has one copy", func(s *Settings) bool { return s.LogReplicas == 0 || s.LogURL() != "" }},
	{"log-sync", "always contradicts --log memory, which writes nothing to disk; leave one of them out", func(s *Settings) bool { return s.Log != LogMemory || s.LogSync != SyncAlways }},
	{"log-sync", "always contradicts --log nats://…, whose servers have their own setting for it; leave one of them out", func(s *Settings) bool { return s.LogURL() == "" || s.LogSync != SyncAlways }},
	{"repair", "needs --log file; no other log is on this machine", func(s *Settings) bool { return !s.Repair || s.Log == LogFile }},
}

// Relations returns the rules about several settings, as the name of a setting and what
// it needs or contradicts.
func Relations() (list [][2]string) {
	for _, r := range relations {
		list = append(list, [2]string{r.setting, r.text})
	}
	return list
}

// checkTogether checks settings that contradict or need each other.
func (s *Settings) checkTogether() error {
	for _, r := range relations {
		if !r.ok(s) {
			return &Error{r.setting, r.text}
		}
	}
	return nil
}

// LogURL returns the URLs of the NATS servers that store the log, or "".
func (s *Settings) LogURL() string {
	if strings.HasPrefix(s.Log, "nats://") || strings.HasPrefix(s.Log, "tls://") {
		return s.Log
	}
	return ""
}

// lookup returns the setting with a name, which must exist.
func lookup(name string) *Setting {
	all := All()
	i := slices.IndexFunc(all, func(d Setting) bool { return d.Name == name })
	return &all[i]
}

// check returns the error about a value; its remedy are the limits of the setting.
func check(ok bool, setting, problem string) error {
	if ok {
		return nil
	}
	return lookup(setting).wrong(problem)
}

// checkAddress checks that an address can be listened on. It resolves names.
func checkAddress(setting, address string) error {
	_, err := net.ResolveTCPAddr("tcp", address)
	return check(err == nil, setting, fmt.Sprintf("%q is not an address", address))
}

// checkBaseURL checks a URL that paths are appended to. Empty is allowed. An error shows
// no password.
func checkBaseURL(setting, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return check(false, setting, "the value is not a URL")
	}
	return cmp.Or(
		check((u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && validPort(u.Port()), setting, fmt.Sprintf("%q is not the URL of a server", u.Redacted())),
		check(u.User == nil && u.RawQuery == "" && u.Fragment == "", setting, fmt.Sprintf("%q has a user, a query or a fragment", u.Redacted())),
	)
}

// validPort reports whether a URL may have the port; empty is none.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// checkOrigins checks web origins.
func checkOrigins(setting string, origins []string) error {
	if _, err := CanonicalOrigins(origins); err != nil {
		return check(false, setting, err.Error())
	}
	return nil
}

// checkPaths checks paths of requests. They are compared with decoded paths, so one that
// decoding changes would match nothing.
func checkPaths(setting string, paths []string) error {
	for _, p := range paths {
		if !strings.HasPrefix(p, "/") || p == "/health" || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("?#%", r) }) {
			return check(false, setting, fmt.Sprintf("%q cannot be a path that gateways connect to", p))
		}
	}
	return nil
}

// validCloseCode reports whether a server can end a connection that did nothing wrong
// with the code (RFC 6455, 7.4, and the IANA registry of close codes).
func validCloseCode(code int) bool {
	return code == 1000 || code == 1001 || code >= 1011 && code <= 1014 || code >= 3000 && code <= 4999
}
