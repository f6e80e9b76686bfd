// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gatecast/gatecast/internal/spec"
)

// httpPage returns the page of the internal HTTP API.
func httpPage() (string, error) {
	doc, err := parse(spec.OpenAPI)
	if err != nil {
		return "", err
	}
	p := new(page)
	intro, rest, _ := strings.Cut(doc.get("info", "description").text(), "\n## ")
	p.prose("## "+rest, 2)
	p.heading(2, "Routes")
	p.routes(doc)
	for _, tag := range doc.get("tags").items() {
		p.tag(doc, tag)
	}
	p.objects(doc.get("components", "schemas"))
	if err := p.errorCodes(doc); err != nil {
		return "", err
	}
	if err := p.limits(doc.get("x-limits"), "beyond it"); err != nil {
		return "", err
	}
	return p.finish("HTTP API for platforms and operators", "internal/spec/openapi.yaml", intro), nil
}

// An operation is one method of one path.
type operation struct {
	method, path string
	item         node // of the path
	op           node
}

// operations returns the operations of a document, except OPTIONS, which every
// path has.
func operations(doc node) (list []operation) {
	for _, path := range doc.get("paths").names() {
		item := doc.get("paths", path)
		for _, method := range item.names() {
			if op := item.get(method); op.get("operationId").ok() && method != "options" {
				list = append(list, operation{strings.ToUpper(method), path, item, op})
			}
		}
	}
	return list
}

// scope returns who can use an operation, in words.
func (o operation) scope() string {
	switch {
	case o.op.get("security").ok(): // an empty list
		return "everyone"
	case o.method == "GET":
		return "`read`"
	case o.op.get("operationId").text() == "publish":
		return "`publish`"
	}
	return "`admin`"
}

// routes adds the table of all routes.
func (p *page) routes(doc node) {
	var rows [][]string
	for _, o := range operations(doc) {
		summary := o.op.get("summary").text()
		rows = append(rows, []string{
			ticks(o.method + " " + o.path), fmt.Sprintf("[%s](#%s)", summary, slug(summary)), o.scope(),
		})
	}
	p.table([]string{"route", "what it does", "scope"}, rows)
}

// tag adds the operations of a tag.
func (p *page) tag(doc, tag node) {
	name := tag.get("name").text()
	p.heading(2, strings.ToUpper(name[:1])+strings.TrimSuffix(name[1:], "s")+" routes")
	p.prose(tag.get("description").text(), 3)
	for _, o := range operations(doc) {
		if slices.Contains(o.op.get("tags").texts(), name) {
			p.operation(o)
		}
	}
}

// operation adds the section of an operation.
func (p *page) operation(o operation) {
	p.heading(3, o.op.get("summary").text())
	p.WriteString(ticks(o.method+" "+o.path) + "\n\n")
	p.prose(o.op.get("description").text(), 4)
	p.parameters(o)
	p.requestBody(o)
	for _, status := range o.op.get("responses").names() {
		if status < "300" {
			p.answer(status, o.op.get("responses", status).follow())
		}
	}
	p.errors(o)
}

// parameters adds the table of an operation's parameters.
func (p *page) parameters(o operation) {
	var rows [][]string
	for _, param := range append(o.item.get("parameters").items(), o.op.get("parameters").items()...) {
		param = param.follow()
		schema, text := param.get("schema"), param.get("description").text()
		text = withBounds(text, schema)
		if e := param.get("example").text(); e != "" {
			text += " Example: " + ticks(e) + "."
		}
		rows = append(rows, []string{ticks(param.get("name").text()), param.get("in").text(), typeOf(schema), text})
	}
	p.table([]string{"parameter", "in", "type", "meaning"}, rows)
}

// requestBody adds an example of the request, and what its body is.
func (p *page) requestBody(o operation) {
	content := o.op.get("requestBody", "content")
	if !content.ok() {
		return
	}
	media := content.get("application/json")
	fmt.Fprintf(p, "The body is %s.\n\n", article(typeOf(media.get("schema"))))
	if e := media.get("example"); e.ok() {
		p.code("http", o.method+" "+o.path+" HTTP/1.1\nAuthorization: Bearer ADMIN_TOKEN\nContent-Type: application/json\n\n"+e.json())
	}
}

// answer adds a successful answer.
func (p *page) answer(status string, response node) {
	p.WriteString(wrap(fmt.Sprintf("**%s** – %s", status, response.get("description").text())) + "\n")
	for _, mediaType := range response.get("content").names() {
		media := response.get("content", mediaType)
		schema := media.get("schema")
		switch {
		case schema.ref() != "":
			fmt.Fprintf(p, "The answer is %s.\n\n", article(typeOf(schema)))
		case schema.get("oneOf").ok():
			var kinds []string
			for _, kind := range schema.get("oneOf").items() {
				kinds = append(kinds, article(typeOf(kind)))
			}
			fmt.Fprintf(p, "Each line (%s) is %s.\n\n", ticks(mediaType), strings.Join(kinds, " or "))
		case schema.get("properties").ok():
			p.table(memberHead, members(schema, ""))
		default:
			fmt.Fprintf(p, "The answer is %s.\n\n", ticks(mediaType))
		}
		if e := media.get("example"); e.ok() {
			p.code("json", e.json())
		}
	}
}

// codeOf finds the error codes that a description explains, as in
// "`unavailable`: the log …".
var codeOf = regexp.MustCompile("`([a-z_]+)`: ")

// errors adds a table of the errors whose cause is particular to an operation,
// and names the others.
func (p *page) errors(o operation) {
	var rows [][]string
	var others []string
	for _, status := range o.op.get("responses").names() {
		text := o.op.get("x-errors", status).text()
		switch {
		case status < "300":
		case text == "":
			others = append(others, status)
		default:
			codes := codeOf.FindAllString(text, -1)
			if len(codes) == 0 {
				codes = codeOf.FindAllString(o.op.get("responses", status).follow().get("description").text(), -1)
			} else if len(codes) == 1 {
				text = strings.TrimPrefix(text, codes[0])
			}
			list := strings.ReplaceAll(strings.TrimSuffix(strings.Join(codes, ""), ": "), ": ", ", ")
			rows = append(rows, []string{status, list, strings.ToUpper(text[:1]) + text[1:]})
		}
	}
	p.table([]string{"status", "error", "cause"}, rows)
	if len(others) > 0 {
		also := "Errors: "
		if len(rows) > 0 {
			also = "Also "
		}
		fmt.Fprintf(p, "%s%s, see [Errors](#errors).\n\n", also, strings.Join(others, ", "))
	}
}

// objects adds the named schemas: first objects, then the simple types.
func (p *page) objects(schemas node) {
	p.heading(2, "Objects")
	p.prose(`"Always" says whether the member is present: in a request it is required, in an answer it is never left out.`, 3)
	var simple []string
	for _, name := range schemas.names() {
		s := schemas.get(name)
		if !s.get("properties").ok() {
			simple = append(simple, name)
			continue
		}
		p.heading(3, name)
		p.prose(s.get("description").text(), 4)
		p.table(memberHead, members(s, ""))
	}
	p.heading(2, "Types")
	for _, name := range simple {
		if s := schemas.get(name); name != errorCode {
			p.heading(4, name)
			kind := "A string."
			if s.get("type").text() == "array" {
				kind = "A " + typeOf(s) + "."
			}
			p.prose(kind+" "+about(s), 5)
		}
	}
}

// errorCodes adds the table of all error codes. The document must explain
// exactly the codes that it allows.
func (p *page) errorCodes(doc node) error {
	schema := doc.get("components", "schemas", errorCode)
	var rows [][]string
	var codes []string
	for _, e := range schema.get("x-error-codes").items() {
		code := e.get("code").text()
		codes = append(codes, code)
		rows = append(rows, []string{ticks(code), e.get("status").text(), e.get("cause").text(), e.get("remedy").text()})
	}
	if enum := schema.get("enum").texts(); !slices.Equal(codes, enum) {
		return fmt.Errorf("line %d: x-error-codes explains %q, but enum has %q", schema.line(), codes, enum)
	}
	p.heading(2, "Errors")
	p.prose("Every error is an [Error](#error) object. Its codes:", 3)
	p.table([]string{"error", "status", "cause", "remedy"}, rows)
	return nil
}
