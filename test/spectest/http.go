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

// openAPI is the document, validated with its examples.
var openAPI = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(spec.OpenAPI))
	if err == nil {
		err = doc.Validate(context.Background(), openapi3.EnableExamplesValidation())
	}
	if err != nil {
		panic("openapi.yaml: " + err.Error())
	}
	for _, schema := range doc.Components.Schemas {
		// A schema without a type accepts any value; kin-openapi makes an
		// exception of null.
		for _, property := range schema.Value.Properties {
			property.Value.Nullable = property.Value.Nullable || property.Value.Type == nil
		}
	}
	for _, kind := range []string{"text/html", "text/css", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.RegisteredBodyDecoder("text/plain"))
	}
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`))
	// RFC 3339, as JSON Schema demands. kin-openapi accepts no lower case
	// letters and does not check the day of the month.
	openapi3.DefineStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
		_, err := strict.Time(s)
		return err
	}))
	return doc
})

// Operations returns all operations of the document, as "GET /path", sorted.
func Operations() (list []string) {
	for path, item := range openAPI().Paths.Map() {
		for method := range item.Operations() {
			list = append(list, method+" "+path)
		}
	}
	slices.Sort(list)
	return list
}

// IsOpen reports whether an operation of the document needs no token.
func IsOpen(operation string) bool {
	method, path, _ := strings.Cut(operation, " ")
	security := openAPI().Paths.Value(path).GetOperation(method).Security
	return security != nil && len(*security) == 0
}

// checkedAnswers are the answers that were checked in this process, as "GET
// /path 200".
var checkedAnswers sync.Map

// Unchecked returns the documented answers that no test of this process has
// checked. It leaves out status 500, which every operation can answer with.
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

// maxKept is how many bytes of a body are kept for the check. A longer body is
// treated like one that was not read to its end.
const maxKept = 1 << 20

// A Transport checks the answers that pass through it against the OpenAPI
// document, after the test has read them. If the test does not read to the end,
// it checks status, headers and complete lines. It also checks requests that
// were answered with 2xx.
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
				t.T.Errorf("%s %s does not match openapi.yaml: %v", req.Method, req.URL, err)
			}
		}}
	}
	return resp, err
}

// CloseIdleConnections is called by http.Client.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// An observedBody calls onEnd when it was read to its end or closed.
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

// Close also ends the observation of a body that was not read to its end.
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

// CheckAnswer checks an answer against the OpenAPI document. req is nil if the
// client did not send a valid request.
func CheckAnswer(t T, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	if err := checkAnswer(req, resp, body, true); err != nil {
		t.Errorf("answer does not match openapi.yaml: %v", err)
	}
}

// checkAnswer returns the first difference between an answer and the document.
// whole says that body is complete.
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
			return fmt.Errorf("the request was answered with %d: %w", resp.StatusCode, err)
		}
	}
	return nil
}

// brief formats an error without the schema and the value.
func brief(err *openapi3.SchemaError) string {
	return fmt.Sprintf("at /%s: %s", strings.Join(err.JSONPointer(), "/"), err.Reason)
}

// find returns the operation of a request and its path parameters, or nil. HEAD
// has the operation of GET.
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

// match matches a path with the template of a path.
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

// answersWithoutOperation are the answers in x-without-operation, by status.
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

// checkWithoutOperation checks the answer to a request that has no operation.
func checkWithoutOperation(req *http.Request, resp *http.Response, body []byte) error {
	if req.Method == http.MethodOptions && req.URL.Path == "*" && resp.StatusCode < 300 && len(body) == 0 && resp.Header.Get("Allow") != "" {
		return nil // OPTIONS * has no path
	}
	described := answersWithoutOperation()[strconv.Itoa(resp.StatusCode)]
	if described == nil {
		return fmt.Errorf("no documented operation answers with %d %.500q", resp.StatusCode, body)
	}
	var responses openapi3.Responses
	responses.Set(strconv.Itoa(resp.StatusCode), described)
	input := &openapi3filter.RequestValidationInput{
		Request: req, Route: &routers.Route{Spec: openAPI(), Operation: &openapi3.Operation{Responses: &responses}},
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	return checkResponse(input, resp, body, true)
}

// undocumentedHeaders are headers that need no documentation: those of HTTP
// itself, and those for browsers that every answer has.
var undocumentedHeaders = []string{
	"Date", "Content-Type", "Content-Length", "Connection", "Transfer-Encoding",
	"X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy", "Cache-Control",
}

// checkResponse compares status, headers and body with the documented response.
func checkResponse(input *openapi3filter.RequestValidationInput, resp *http.Response, body []byte, whole bool) error {
	ref := input.Route.Operation.Responses.Status(resp.StatusCode)
	if ref == nil {
		return errors.New("the status is not documented")
	}
	for name := range maps.Keys(resp.Header) {
		described := slices.ContainsFunc(slices.Collect(maps.Keys(ref.Value.Headers)), func(d string) bool { return strings.EqualFold(d, name) })
		if !described && !slices.Contains(undocumentedHeaders, name) {
			return fmt.Errorf("header %s: %s is not documented", name, resp.Header.Get(name))
		}
	}
	if input.Request.Method == http.MethodHead || len(ref.Value.Content) == 0 {
		if len(body) > 0 {
			return errors.New("no body is documented")
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

// checkLines checks complete lines of newline-delimited JSON.
func checkLines(schema *openapi3.Schema, body []byte) error {
	for line := range bytes.Lines(body) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // the end of the line was not kept
		}
		if err := checkLine(schema, line); err != nil {
			return err
		}
	}
	return nil
}

// CheckLine checks one line of the answer to a bulk publish.
func CheckLine(t T, line string) {
	t.Helper()
	publish := openAPI().Paths.Value("/api/internal/v1/events").Post
	schema := publish.Responses.Status(http.StatusOK).Value.Content["application/x-ndjson"].Schema.Value
	if err := checkLine(schema, []byte(line)); err != nil {
		t.Errorf("line does not match openapi.yaml: %v", err)
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

// CheckValue returns why a JSON text does not match a schema of the OpenAPI
// document, or nil.
func CheckValue(schema, text string) error {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return openAPI().Components.Schemas[schema].Value.VisitJSON(v)
}

// checkRequest checks a request that the listener has accepted.
func checkRequest(input *openapi3filter.RequestValidationInput) error {
	req := input.Request.Clone(context.Background())
	req.Body = http.NoBody // it is sent
	options := *input.Options
	options.ExcludeRequestBody = true
	repeat := req.Header.Get("Idempotency-Key") != "" // a repeat is answered without reading its body
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
		text = bytes.TrimPrefix(text, []byte("\ufeff"))    // the listener skips it
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

// ErrorCodes returns the error codes of the OpenAPI document.
func ErrorCodes() (list []string) {
	for _, code := range openAPI().Components.Schemas["ErrorCode"].Value.Enum {
		list = append(list, code.(string))
	}
	return list
}

// Parameter returns the default and the upper bound of a parameter of an operation: its
// maximum, or its maximum length. What the document does not have is 0.
func Parameter(operation, name string) (def, bound int) {
	method, path, _ := strings.Cut(operation, " ")
	for _, p := range openAPI().Paths.Value(path).GetOperation(method).Parameters {
		s := p.Value.Schema.Value
		if p.Value.Name != name {
			continue
		}
		if d, ok := s.Default.(float64); ok {
			def = int(d)
		}
		if s.Max != nil {
			bound = int(*s.Max)
		}
		if s.MaxLength != nil {
			bound = int(*s.MaxLength)
		}
	}
	return def, bound
}
