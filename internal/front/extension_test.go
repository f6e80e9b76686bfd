// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/http1"
)

func TestNegotiateDeflate(t *testing.T) {
	const yes, yes15 = deflateAnswer, deflateAnswer + "; server_max_window_bits=15"
	for _, tt := range []struct{ offers, want string }{
		{"", ""},
		{"permessage-deflate", yes},
		{"PerMessage-Deflate ; Client_Max_Window_Bits", yes},
		{"permessage-deflate; client_max_window_bits", yes},
		{"permessage-deflate; client_max_window_bits=8", yes},
		{`permessage-deflate; client_max_window_bits="15"`, yes},
		{"permessage-deflate; client_max_window_bits=7", ""},
		{"permessage-deflate; client_max_window_bits=16", ""},
		{"permessage-deflate; client_max_window_bits=09", ""},
		{"permessage-deflate; client_max_window_bits=", ""},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", yes},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"permessage-deflate; server_max_window_bits=15", yes15},
		{"permessage-deflate; server_max_window_bits=10", ""},
		{"permessage-deflate; server_max_window_bits", ""},
		{"permessage-deflate; server_max_window_bits=+15", ""},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", yes},
		{"permessage-deflate; what=ever", ""},
		{"permessage-deflate;", ""},
		{"permessage-deflate; what=ever, permessage-deflate; client_max_window_bits", yes},
		{"x-webkit-deflate-frame, permessage-deflate", yes},
		{`other; a="x, permessage-deflate"`, ""},
		{`other; a="x\", permessage-deflate"`, ""},
		{`other; a="x`, ""},
		{",,;;==", ""},
		{"permessage-deflate; server_max_window_bits=9\npermessage-deflate", yes},
		{"other\npermessage-deflate; server_max_window_bits=15", yes15},
		{"permessage-deflate\npermessage-deflate; server_max_window_bits=15", yes},
	} {
		for _, on := range []bool{true, false} {
			head := "GET " + ConnectPath + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			for h := range strings.SplitSeq(tt.offers, "\n") {
				head += "Sec-WebSocket-Extensions: " + h + "\r\n"
			}
			want := tt.want
			if !on {
				want = ""
			}
			parsed, bad := http1.Parse([]byte(head + "\r\n"))
			if bad != nil {
				t.Fatalf("%q: %v", tt.offers, bad)
			}
			up, refused := parseUpgrade(parsed, on)
			if refused != nil {
				t.Errorf("%q: refused with %v", tt.offers, refused)
				continue
			}
			_, got, _ := strings.Cut(string(up.response), "Sec-WebSocket-Extensions: ")
			got, _, _ = strings.Cut(got, "\r\n")
			if got != want || up.deflate != (want != "") {
				t.Errorf("on %v, %q: answered %q (%v), want %q", on, tt.offers, got, up.deflate, want)
			}
		}
	}
}
