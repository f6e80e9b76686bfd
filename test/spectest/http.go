// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package spectest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gatecast/gatecast/internal/spec"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

var openAPI = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(spec.OpenAPI))
	if err == nil {
		err = doc.Validate(context.Background(), openapi3.EnableExamplesValidation())
	}
	if err != nil {
		panic("openapi.yaml: " + err.Error())
	}
	for _, schema := range doc.Components.Schemas {
		for _, property := range schema.Value.Properties {
			// Without a type it takes anything; to kin-openapi, anything but null.
			property.Value.Nullable = property.Value.Nullable || property.Value.Type == nil
		}
	}
	for _, kind := range []string{"text/html", "text/css", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.RegisteredBodyDecoder("text/plain"))
	}
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`))
	// Of RFC 3339, as JSON Schema says; kin-openapi knows no small letters and counts no days.
	openapi3.DefineStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
		_, err := strict.Time(s)
		return err
	}))
	return doc
})

// Operations returns the operations that are described, as "GET /path", in order.
func Operations() (list []string) {
	for path, item := range openAPI().Paths.Map() {
		for method := range item.Operations() {
			list = append(list, method+" "+path)
		}
	}
	slices.Sort(list)
	return list
}

// IsOpen reports whether an operation is described as one that needs no token.
func IsOpen(operation string) bool {
	method, path, _ := strings.Cut(operation, " ")
	security := openAPI().Paths.Value(path).GetOperation(method).Security
	return security != nil && len(*security) == 0
}

// seen are the answers that were checked, as "GET /path 200".
var checkedAnswers sync.Map

// Unseen returns the answers that are described and that no request has been given
// in this process, but for 500, which any has in store.
func Unchecked() (list []string) {
	for path, item := range openAPI().Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				answer := method + " " + path + " " + status
				if _, ok := checkedAnswers.Load(answer); !ok && status != "500" {
					list = append(list, answer)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// kept is how much of an answer is kept to be looked at, in bytes. A longer one is as
// one that is not read to its end.
const maxKept = 1 << 20

// A Transport holds the answers that come by it to the OpenAPI document, when they
// have been read: of one that is not read to its end, the status, the headers and the
// lines so far. A request that is answered by 2xx is held to it too.
type Transport struct {
	T    T
	Base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Base.RoundTrip(req)
	if err == nil {
		resp.Body = &observedBody{ReadCloser: resp.Body, onEnd: func(body []byte, whole bool) {
			if err := checkAnswer(req, resp, body, whole); err != nil {
				t.T.Errorf("%s %s is not as openapi.yaml says: %v", req.Method, req.URL, err)
			}
		}}
	}
	return resp, err
}

// CloseIdleConnections is for http.Client's.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// A watched body is looked at when it has been read.
type observedBody struct {
	io.ReadCloser
	onEnd func(body []byte, whole bool)

	body  []byte
	size  int
	ended bool
}

func (w *observedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.size += n
	if room := maxKept - len(w.body); room > 0 {
		w.body = append(w.body, p[:min(n, room)]...)
	}
	if err == io.EOF {
		w.end(w.size == len(w.body))
	}
	return n, err
}

// Close is the end of an answer that broke off, or that nobody wants to read on.
func (w *observedBody) Close() error {
	w.end(false)
	return w.ReadCloser.Close()
}

func (w *observedBody) end(whole bool) {
	if !w.ended {
		w.ended = true
		w.onEnd(w.body, whole)
		w.body = nil
	}
}

// CheckAnswer holds an answer to the OpenAPI document. req is nil when what was sent
// is no request.
func CheckAnswer(t T, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	if err := checkAnswer(req, resp, body, true); err != nil {
		t.Errorf("an answer is not as openapi.yaml says: %v", err)
	}
}

func checkAnswer(req *http.Request, resp *http.Response, body []byte, whole bool) error {
	if req == nil {
		req = &http.Request{Method: "NONE"}
	}
	route, params := find(req)
	if route == nil {
		return checkWithoutOperation(req, resp, body)
	}
	checkedAnswers.Store(fmt.Sprint(route.Method, " ", route.Path, " ", resp.StatusCode), true)
	input := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	}
	input.Options.WithCustomSchemaErrorFunc(brief)
	if err := checkResponse(input, resp, body, whole); err != nil {
		return fmt.Errorf("status %d, %.500q: %w", resp.StatusCode, body, err)
	}
	if resp.StatusCode < 300 {
		if err := checkRequest(input); err != nil {
			return fmt.Errorf("it is answered by %d: %w", resp.StatusCode, err)
		}
	}
	return nil
}

// brief leaves out the schema and the value.
func brief(err *openapi3.SchemaError) string {
	return fmt.Sprintf("at /%s: %s", strings.Join(err.JSONPointer(), "/"), err.Reason)
}

// find returns the operation of a request, nil when there is none; HEAD is GET's.
func find(req *http.Request) (route *routers.Route, params map[string]string) {
	if req.URL == nil {
		return nil, nil
	}
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for path, item := range openAPI().Paths.Map() {
		if params, ok := match(path, req.URL.EscapedPath()); ok {
			op := item.GetOperation(method)
			if op == nil {
				return nil, nil
			}
			return &routers.Route{Spec: openAPI(), Path: path, PathItem: item, Method: method, Operation: op}, params
		}
	}
	return nil, nil
}

// match matches a path with a template's.
func match(template, path string) (params map[string]string, ok bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params = map[string]string{}
	for i := range want {
		name, isParam := strings.CutPrefix(want[i], "{")
		switch {
		case isParam && got[i] != "":
			params[strings.TrimSuffix(name, "}")] = got[i]
		case want[i] != got[i]:
			return nil, false
		}
	}
	return params, true
}

// stray are the answers to what has no operation, by status.
var answersWithoutOperation = sync.OnceValue(func() map[string]*openapi3.ResponseRef {
	refs, ok := openAPI().Extensions["x-without-operation"].(map[string]any)
	if !ok {
		panic("openapi.yaml: no x-without-operation")
	}
	list := make(map[string]*openapi3.ResponseRef)
	for status, ref := range refs {
		name := strings.TrimPrefix(ref.(map[string]any)["$ref"].(string), "#/components/responses/")
		if list[status] = openAPI().Components.Responses[name]; list[status] == nil {
			panic("openapi.yaml: no response " + name)
		}
	}
	return list
})

// checkStray checks the answer to a request that has no operation.
func checkWithoutOperation(req *http.Request, resp *http.Response, body []byte) error {
	if req.Method == http.MethodOptions && req.URL.Path == "*" && resp.StatusCode < 300 && len(body) == 0 && resp.Header.Get("Allow") != "" {
		return nil // of no path
	}
	described := answersWithoutOperation()[strconv.Itoa(resp.StatusCode)]
	if described == nil {
		return fmt.Errorf("no operation is described that answers %d %.500q", resp.StatusCode, body)
	}
	var responses openapi3.Responses
	responses.Set(strconv.Itoa(resp.StatusCode), described)
	input := &openapi3filter.RequestValidationInput{
		Request: req, Route: &routers.Route{Spec: openAPI(), Operation: &openapi3.Operation{Responses: &responses}},
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	return checkResponse(input, resp, body, true)
}

// plumbing are the headers that need no description: HTTP's own, and those for
// browsers that every answer has.
var undocumentedHeaders = []string{
	"Date", "Content-Type", "Content-Length", "Connection", "Transfer-Encoding",
	"X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy", "Cache-Control",
}

func checkResponse(input *openapi3filter.RequestValidationInput, resp *http.Response, body []byte, whole bool) error {
	ref := input.Route.Operation.Responses.Status(resp.StatusCode)
	if ref == nil {
		return errors.New("the status is not described")
	}
	for name := range maps.Keys(resp.Header) {
		described := slices.ContainsFunc(slices.Collect(maps.Keys(ref.Value.Headers)), func(d string) bool { return strings.EqualFold(d, name) })
		if !described && !slices.Contains(undocumentedHeaders, name) {
			return fmt.Errorf("header %s: %s is not described", name, resp.Header.Get(name))
		}
	}
	if input.Request.Method == http.MethodHead || len(ref.Value.Content) == 0 {
		if len(body) > 0 {
			return errors.New("no body is described")
		}
		return nil
	}
	media := ref.Value.Content.Get(resp.Header.Get("Content-Type"))
	if media != nil && media == ref.Value.Content["application/x-ndjson"] {
		return checkLines(media.Schema.Value, body)
	}
	if whole && resp.Header.Get("Content-Type") == "application/json" && !json.Valid(body) {
		return errors.New("it is not JSON") // kin-openapi reads the first value only
	}
	options := *input.Options
	options.ExcludeResponseBody = !whole
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header,
		Body: io.NopCloser(bytes.NewReader(body)), Options: &options,
	})
}

// checkLines checks newline-delimited JSON, up to its last end of a line.
func checkLines(schema *openapi3.Schema, body []byte) error {
	for line := range bytes.Lines(body) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // the rest was not kept
		}
		if err := checkLine(schema, line); err != nil {
			return err
		}
	}
	return nil
}

// CheckLine holds a line of a bulk publish's answer to the OpenAPI document.
func CheckLine(t T, line string) {
	t.Helper()
	publish := openAPI().Paths.Value("/api/internal/v1/events").Post
	schema := publish.Responses.Status(http.StatusOK).Value.Content["application/x-ndjson"].Schema.Value
	if err := checkLine(schema, []byte(line)); err != nil {
		t.Errorf("a line is not as openapi.yaml says: %v", err)
	}
}

func checkLine(schema *openapi3.Schema, line []byte) error {
	var v any
	if err := json.Unmarshal(line, &v); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	if err := schema.VisitJSON(v, openapi3.SetSchemaErrorMessageCustomizer(brief)); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	return nil
}

// CheckValue returns what is wrong with a JSON text that is to be of a schema of the
// OpenAPI document.
func CheckValue(schema, text string) error {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return openAPI().Components.Schemas[schema].Value.VisitJSON(v)
}

// checkRequest checks a request that the listener took.
func checkRequest(input *openapi3filter.RequestValidationInput) error {
	req := input.Request.Clone(context.Background())
	req.Body = http.NoBody // it is sent
	options := *input.Options
	options.ExcludeRequestBody = true
	repeat := req.Header.Get("Idempotency-Key") != "" // perhaps, and of one only the key is read
	if req.GetBody != nil && !isNDJSON(req.Header) && !repeat {
		body, err := req.GetBody()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json") // the listener takes it for that without
		text = bytes.TrimPrefix(text, []byte("\ufeff"))    // which JSON does not have, and readers may pass over
		req.Body, req.GetBody = io.NopCloser(bytes.NewReader(text)), nil
		options.ExcludeRequestBody = len(text) > maxKept || input.Route.Operation.RequestBody == nil
	}
	checked := *input
	checked.Request, checked.Options = req, &options
	return openapi3filter.ValidateRequest(context.Background(), &checked)
}

func isNDJSON(h http.Header) bool {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "application/x-ndjson")
}
