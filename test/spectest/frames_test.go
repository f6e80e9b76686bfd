// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package spectest

import "testing"

func TestFrames(t *testing.T) {
	const time = `"timestamp":"2027-01-31T12:00:00.000000000Z"`
	tests := []struct {
		name  string
		check func(T, []byte)
		text  string
		want  string // "": nothing
	}{
		{"an event", CheckServerFrame, `{"id":"k-1","type":"a.b","payload":null,` + time + `,"correlationId":"c"}`, ""},
		{"an event with an empty gateway", CheckServerFrame, `{"id":"k-1","type":"a.b","payload":1,"gatewayId":"",` + time + `,"correlationId":"c"}`, "gatewayId"},
		{"an event with an envelope field", CheckServerFrame, `{"id":"k-1","type":"a.b","payload":1,"userId":"u",` + time + `,"correlationId":"c"}`, ""},
		{"an event with a member of another message", CheckServerFrame, `{"id":"k-1","type":"a.b","payload":1,"cursor":"k-1",` + time + `,"correlationId":"c"}`, "invalid propertyName"},
		{"an event of a trace", CheckServerFrame, `{"id":"k-1","type":"a.b","payload":1,` + time + `,"correlationId":"c","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`, ""},
		{"an event of no trace", CheckServerFrame, `{"id":"k-1","type":"a.b","payload":1,` + time + `,"correlationId":"c","traceparent":""}`, "traceparent"},
		{"an event without a payload", CheckServerFrame, `{"id":"k-1","type":"a.b",` + time + `,"correlationId":"c"}`, "payload"},
		{"an ack of no connection", CheckServerFrame, `{"type":"connection.ack","gatewayId":"g","connectionId":"c",` + time + `,"cursor":"k-1","resumed":true}`, "connectionId"},
		{"a resync", CheckServerFrame, `{"type":"resync.required","reason":"other_epoch","cursor":"k-1"}`, ""},
		{"a resync for another reason", CheckServerFrame, `{"type":"resync.required","reason":"bored","cursor":"k-1"}`, "reason"},
		{"not JSON", CheckServerFrame, `{`, "EOF"},
		{"a gateway's frame from the server", CheckServerFrame, `{"type":"event.ack","id":"k-1"}`, "event.ack"},

		{"an answer", CheckGatewayFrame, `{"type":"event.ack","id":"k-1","status":"failed","error":"no room"}`, ""},
		{"an answer with another status", CheckGatewayFrame, `{"type":"event.ack","id":"k-1","status":"done"}`, "status"},
		{"an answer of a newer gateway", CheckGatewayFrame, `{"type":"event.ack","id":"k-1","took":"3s"}`, ""},
		{"a deployment's answer", CheckGatewayFrame, `{"type":"deployment.ack","payload":{"deploymentId":"d"}}`, ""},
		{"a deployment's answer of nothing", CheckGatewayFrame, `{"type":"deployment.ack","payload":{}}`, "deploymentId"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got recorder
			tt.check(&got, []byte(tt.text))
			got.expect(t, tt.want)
		})
	}
}

func TestCloseCodes(t *testing.T) {
	for code, want := range map[int]string{1000: "", 1013: "", 1001: "no close code 1001"} {
		var got recorder
		CheckCloseCode(&got, code)
		got.expect(t, want)
	}
}
