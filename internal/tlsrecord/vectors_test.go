// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"io"
	"testing"
)

// A trace is a connection that others have published: its secrets, and its
// records from the end of the handshake on.
type trace struct {
	name           string
	suite          *suite
	reference      func(secret []byte) *reference
	client, server direction
}

type direction struct {
	secret, key, iv string
	records         []traceRecord
}

// A traceRecord is a record, and what is in it. sealed is empty where only the
// number of the record matters.
type traceRecord struct {
	contentType     byte
	content, sealed string
}

// fifty are the 50 bytes that both sides of RFC 8448's connection send.
const fifty = `000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
	202122232425262728292a2b2c2d2e2f3031`

var traces = []trace{
	{
		name:      "RFC 8448 section 3",
		suite:     aes128,
		reference: func(secret []byte) *reference { return newReference(16, sha256.New, secret) },
		client: direction{
			secret: "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
			key:    "17422dda596ed5d9acd890e3c63f5051",
			iv:     "5b78923dee08579033e523d9",
			records: []traceRecord{
				{typeApplicationData, fifty, `1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66
					bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4`},
				{typeAlert, "0100", "1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3"},
			},
		},
		server: direction{
			secret: "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
			key:    "9f02283b6c9c07efc26bb9f2ac92e356",
			iv:     "cf782b88dd83549aadf1e984",
			records: []traceRecord{
				{typeHandshake, `040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc48
					6d2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3
					ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea705
					29513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621
					a79141ef5f7de6505e5bfbc388e93343694093934ae4d3570008002a000400000400`, `17030300de 3a6b8f90
					414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a015940252f
					55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c
					30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db
					2f0a77f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca
					49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f`},
				{typeApplicationData, fifty, `1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82
					aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d`},
				{typeAlert, "0100", "1703030013 b58fd67166ebf599d24720cfbe7efa7a8864a9"},
			},
		},
	},
	{
		name:      "The Illustrated TLS 1.3 Connection", // tls13.xargs.org
		suite:     aes256,
		reference: func(secret []byte) *reference { return newReference(32, sha512.New384, secret) },
		client: direction{
			secret: "9e47af27cb60d818a9ea7d233cb5ed4cc525fcd74614fb24b0ee59acb8e5aa7ff8d88b89792114208fec291a6fa96bad",
			key:    "de2f4c7672723a692319873e5c227606691a32d1c59d8b9f51dbb9352e9ca9cc",
			iv:     "bb007956f474b25de902432f",
			records: []traceRecord{
				{typeApplicationData, "70696e67", "1703030015 828139cb7b73aaabf5b82fbf9a2961bcde10038a32"},
			},
		},
		server: direction{
			secret: "86c967fd7747a36a0685b4ed8d0e6b4c02b4ddaf3cd294aa44e9f6b0183bf911e89a189ba5dfd71fccffb5cc164901f8",
			key:    "01f78623f17e3edcc09e944027ba3218d57c8e0db93cd3ac419309274700ac27",
			iv:     "196a750b0c5049c0cc51a541",
			records: []traceRecord{
				{typeHandshake, "04000000", ""}, // two tickets stand here
				{typeHandshake, "04000000", ""},
				{typeApplicationData, "706f6e67", "1703030015 0cda85f1447ae23fa66d56f4c5408482b1b1d4c998"},
			},
		},
	},
}

func eachTrace(t *testing.T, f func(t *testing.T, tr trace)) {
	for _, tr := range traces {
		t.Run(tr.name, func(t *testing.T) { f(t, tr) })
	}
}

func (tr trace) session() *Session {
	return newSession(tr.suite, unhex(tr.client.secret), unhex(tr.server.secret))
}

func TestPublishedKeys(t *testing.T) {
	eachTrace(t, func(t *testing.T, tr trace) {
		s := tr.session()
		for _, d := range []struct {
			name string
			half *half
			want direction
		}{{"client", &s.in, tr.client}, {"server", &s.out, tr.server}} {
			if got := d.half.key[:tr.suite.keyLen]; !bytes.Equal(got, unhex(d.want.key)) {
				t.Errorf("the %s's key is %x, want %s", d.name, got, d.want.key)
			}
			if got := d.half.iv[:]; !bytes.Equal(got, unhex(d.want.iv)) {
				t.Errorf("the %s's IV is %x, want %s", d.name, got, d.want.iv)
			}
		}
	})
}

// The session seals the server's records, byte for byte.
func TestPublishedRecordsSealed(t *testing.T) {
	eachTrace(t, func(t *testing.T, tr trace) {
		s := tr.session()
		for i, r := range tr.server.records {
			var got []byte
			switch r.contentType {
			case typeApplicationData:
				var err error
				if got, err = begun(s, unhex(r.content)); err != nil {
					t.Fatal(err)
				}
			case typeAlert:
				got = s.AppendAlert(nil, Alert(unhex(r.content)[1]))
			default:
				got = s.seal(nil, r.contentType, unhex(r.content))
			}
			if r.sealed != "" && !bytes.Equal(got, unhex(r.sealed)) {
				t.Errorf("record %d is sealed as %x, want %x", i, got, unhex(r.sealed))
			}
		}
	})
}

// The session opens what the client sealed.
func TestPublishedRecordsOpened(t *testing.T) {
	eachTrace(t, func(t *testing.T, tr trace) {
		s := tr.session()
		for i, r := range tr.client.records {
			var want []byte
			var wantErr error
			if want = unhex(r.content); r.contentType == typeAlert {
				want, wantErr = nil, io.EOF
			}
			got, rest, err := s.Open(unhex(r.sealed))
			if !bytes.Equal(got, want) || len(rest) > 0 || err != wantErr {
				t.Errorf("record %d opens as %x, rest %x, %v; want %x, none, %v", i, got, rest, err, want, wantErr)
			}
		}
	})
}

// The tests' reference passes the same examination.
func TestPublishedRecordsOfTheReference(t *testing.T) {
	eachTrace(t, func(t *testing.T, tr trace) {
		for _, d := range []direction{tr.client, tr.server} {
			sealer, opener := tr.reference(unhex(d.secret)), tr.reference(unhex(d.secret))
			for i, r := range d.records {
				got := sealer.seal(r.contentType, unhex(r.content), 0)
				if r.sealed == "" {
					opener.seq++
					continue
				}
				if !bytes.Equal(got, unhex(r.sealed)) {
					t.Errorf("record %d is sealed as %x, want %x", i, got, unhex(r.sealed))
				}
				contentType, content, ok := opener.open(unhex(r.sealed))
				if !ok || contentType != r.contentType || !bytes.Equal(content, unhex(r.content)) {
					t.Errorf("record %d opens as type %d, %x, %v", i, contentType, content, ok)
				}
			}
		}
	})
}

// A key update's secret, as OpenSSL's s_client made it (from the tests of s2n-tls).
func TestPublishedKeyUpdate(t *testing.T) {
	before := unhex("4bc28934ddd802b00f479e14a72d7725dab45d32b3b145f29e4c5b56677560eb5236b168c71c5c75aa52f3e20ee89bfb")
	after := unhex("ee85dd54781bd4d8a100589a9fe6ac9a3797b811e977f549cd531be2441d7c63e2b9729d145c11d84af35957727565a4")
	var h half
	h.init(aes256, before)
	h.update()
	if got := h.secret[:]; !bytes.Equal(got, after) {
		t.Errorf("the next secret is %x, want %x", got, after)
	}
	r := newReference(32, sha512.New384, before)
	r.update()
	if !bytes.Equal(r.secret, after) {
		t.Errorf("the reference's next secret is %x, want %x", r.secret, after)
	}
	if !bytes.Equal(h.key[:], r.expandLabel("key", 32)) || !bytes.Equal(h.iv[:], r.iv) || h.seq != 0 {
		t.Error("key, IV and number do not start again at 0")
	}
}
