// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"reflect"
	"strings"
	"sync"
)

// A Setting describes one field of [Settings]. It is read-only.
type Setting struct {
	Name    string // the flag without dashes, and the key in a configuration file
	Env     string // the environment variable
	Default string // as a user writes it; empty: see Help
	Kind    string // of value: size, seconds, duration, CIDRs, file, switch, …
	Group   string // its topic
	Help    string

	tag   reflect.StructTag
	typ   string // of the tag type
	index []int  // of the field
}

// kindOf returns the kind of a field's values, for people.
func kindOf(f reflect.StructField) string {
	switch typ := f.Tag.Get("type"); {
	case f.Type.Kind() == reflect.Bool:
		return "switch"
	case f.Tag.Get("placeholder") == "FILE":
		return "file"
	case typ == "cidrs":
		return "CIDRs"
	case typ == "size", typ == "seconds", typ == "duration", typ == "list":
		return typ
	}
	return ""
}

// All returns every setting, in the order of [Settings]. The slice is shared.
var All = sync.OnceValue(func() (list []Setting) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		if f.Anonymous {
			continue
		}
		list = append(list, Setting{
			Name: f.Tag.Get("name"), Env: f.Tag.Get("env"), Default: f.Tag.Get("default"), Kind: kindOf(f),
			Group: f.Tag.Get("group"), Help: f.Tag.Get("help"),
			tag: f.Tag, typ: f.Tag.Get("type"), index: f.Index,
		})
	}
	return list
})

// Defaults returns the settings of a node for which none is given.
var Defaults = sync.OnceValue(func() (s Settings) {
	fields := reflect.ValueOf(&s).Elem()
	for _, d := range All() {
		field := fields.FieldByIndex(d.index)
		switch {
		case d.Default == "":
		case d.typ == "":
			field.SetString(d.Default)
		default:
			if err := Decode(d.typ, d.Default, field); err != nil {
				panic("BUG: the default of " + d.Name + ": " + err.Error())
			}
		}
	}
	return s
})

// Limits says which values are allowed, as the end of "want …"; empty: any.
func (d *Setting) Limits() string {
	var parts []string
	if zero, ok := d.tag.Lookup("zero"); ok {
		parts = append(parts, "0 ("+zero+")")
	}
	least, most := d.tag.Get("min"), d.tag.Get("max")
	switch {
	case least != "" && most != "":
		parts = append(parts, least+" to "+most)
	case least != "":
		parts = append(parts, "at least "+least)
	}
	if above, ok := d.tag.Lookup("above"); ok {
		parts = append(parts, "more than "+above)
	}
	if values, ok := d.tag.Lookup("oneof"); ok {
		parts = append(parts, strings.ReplaceAll(values, ",", " or "))
	}
	if rule, ok := d.tag.Lookup("rule"); ok {
		parts = append(parts, rule)
	}
	return strings.Join(parts, ", or ")
}
