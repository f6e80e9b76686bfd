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
	Unit    string // of a value without one: seconds, bytes; empty: none
	Group   string // its topic
	Help    string

	tag   reflect.StructTag
	typ   string // of the tag type
	index []int  // of the field
}

// units of the values of each tag type.
var units = map[string]string{
	"size": "bytes; KiB, MiB or GiB", "seconds": "seconds, or with a unit as in 1m30s", "duration": "time with a unit, as in 1h30m",
	"cidrs": "CIDRs, separated by commas", "list": "separated by commas",
}

// All returns every setting, in the order of [Settings]. The slice is shared.
var All = sync.OnceValue(func() (list []Setting) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		if f.Anonymous {
			continue
		}
		typ := f.Tag.Get("type")
		list = append(list, Setting{
			Name: f.Tag.Get("name"), Env: f.Tag.Get("env"), Default: f.Tag.Get("default"), Unit: units[typ],
			Group: f.Tag.Get("group"), Help: f.Tag.Get("help"),
			tag: f.Tag, typ: typ, index: f.Index,
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
