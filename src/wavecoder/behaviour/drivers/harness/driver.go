package main

// Calls the subject once and writes what it gave back; see wire.py for the line. Values are told by
// reflection on their kinds, and no method of theirs is asked.

import (
	"os"
	"reflect"
	"strconv"
	"time"
)

const wavecoderDeepest = 60

type wavecoderOpaque struct{ words string }

func wavecoderText(text string) string {
	made := []byte{'"'}
	for at := 0; at < len(text); {
		one := text[at]
		if one < 0x80 {
			if one == '"' || one == '\\' {
				made = append(made, '\\', one)
			} else if one < 0x20 || one == 0x7f {
				made = append(made, "\\u00"...)
				made = append(made, "0123456789abcdef"[one>>4], "0123456789abcdef"[one&15])
			} else {
				made = append(made, one)
			}
			at++
			continue
		}
		size := 0
		for place, letter := range text[at:] {
			if place > 0 {
				size = place
				break
			}
			size = len(text[at:])
			if letter == 0xfffd {
				size = 1
				if len(text) >= at+3 && text[at:at+3] == "\xef\xbf\xbd" {
					size = 3
				}
				break
			}
		}
		if size == 1 {
			made = append(made, "\\udc"...)
			made = append(made, "0123456789abcdef"[one>>4], "0123456789abcdef"[one&15])
		} else {
			made = append(made, text[at:at+size]...)
		}
		at += size
	}
	return string(append(made, '"'))
}

func wavecoderEncode(value reflect.Value, depth int) string {
	if depth > wavecoderDeepest {
		panic(wavecoderOpaque{"a value too deep"})
	}
	switch value.Kind() {
	case reflect.Invalid:
		return "null"
	case reflect.Bool:
		return strconv.FormatBool(value.Bool())
	case reflect.Int32:
		if wavecoderLetters {
			return wavecoderText(string(rune(value.Int())))
		}
		return strconv.FormatInt(value.Int(), 10)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int64:
		return strconv.FormatInt(value.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(value.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		number := value.Float()
		if number != number {
			return "NaN"
		}
		if number > 1.7976931348623157e308 {
			return "Infinity"
		}
		if number < -1.7976931348623157e308 {
			return "-Infinity"
		}
		bits := 64
		if value.Kind() == reflect.Float32 {
			bits = 32
		}
		return strconv.FormatFloat(number, 'e', -1, bits)
	case reflect.String:
		return wavecoderText(value.String())
	case reflect.Slice, reflect.Array:
		made := "["
		for at := 0; at < value.Len(); at++ {
			if at > 0 {
				made += ","
			}
			made += wavecoderEncode(value.Index(at), depth+1)
		}
		return made + "]"
	case reflect.Map:
		isSet := value.Type().Elem().Kind() == reflect.Struct && value.Type().Elem().NumField() == 0
		made, first := "", true
		for _, key := range value.MapKeys() {
			if !first {
				made += ","
			}
			first = false
			if isSet {
				made += wavecoderEncode(key, depth+1)
			} else {
				made += "[" + wavecoderEncode(key, depth+1) + "," + wavecoderEncode(value.MapIndex(key), depth+1) + "]"
			}
		}
		if isSet {
			return "{\"s\":[" + made + "]}"
		}
		return "{\"m\":[" + made + "]}"
	case reflect.Ptr, reflect.Interface:
		if value.IsNil() {
			return "null"
		}
		return wavecoderEncode(value.Elem(), depth+1)
	case reflect.Struct:
		made := ""
		for at := 0; at < value.NumField(); at++ {
			if at > 0 {
				made += ","
			}
			made += "[" + wavecoderText(value.Type().Field(at).Name) + "," + wavecoderEncode(value.Field(at), depth+1) + "]"
		}
		return "{\"m\":[" + made + "]}"
	}
	panic(wavecoderOpaque{"a value of the type " + value.Type().String()})
}

func wavecoderLine(words string) string {
	made := []byte{}
	for at := 0; at < len(words) && at < 300; at++ {
		if words[at] < 0x20 {
			made = append(made, ' ')
		} else {
			made = append(made, words[at])
		}
	}
	return string(made)
}

func wavecoderAll(values []interface{}) []string {
	made := []string{}
	for _, one := range values {
		made = append(made, wavecoderEncode(reflect.ValueOf(one), 0))
	}
	return made
}

func wavecoderJoined(values []string) string {
	made := "["
	for at, one := range values {
		if at > 0 {
			made += ","
		}
		made += one
	}
	return made + "]"
}

// An error among the results is a refusal, as an exception is elsewhere.
func wavecoderResult(results []interface{}, isError bool) string {
	if isError {
		last := results[len(results)-1]
		if last != nil {
			words := "error"
			if reflect.TypeOf(last).Kind() == reflect.Ptr {
				words = reflect.TypeOf(last).Elem().Name()
			}
			return "R " + wavecoderLine(words+": "+last.(error).Error())
		}
		results = results[:len(results)-1]
	}
	if len(results) == 0 {
		return "V null"
	}
	if len(results) == 1 {
		return "V " + wavecoderEncode(reflect.ValueOf(results[0]), 0)
	}
	return "V " + wavecoderJoined(wavecoderAll(results))
}

func wavecoderCall(place int) (line string) {
	defer func() {
		found := recover()
		if found == nil {
			return
		}
		if opaque, is := found.(wavecoderOpaque); is {
			line = "O " + opaque.words
			return
		}
		words := "panic"
		if failed, is := found.(error); is {
			words = failed.Error()
		} else if said, is := found.(string); is {
			words = said
		}
		line = "R " + wavecoderLine("panic: "+words)
	}()
	given, run := wavecoderCalls[place]()
	before := wavecoderAll(given)
	results := run()
	line = wavecoderResult(results, wavecoderIsError)
	if len(results) == 0 {
		after := wavecoderAll(given)
		if wavecoderJoined(after) != wavecoderJoined(before) {
			line = "V " + wavecoderJoined(after)
		}
	}
	return line
}

func main() {
	place, _ := strconv.Atoi(os.Args[1])
	number := wavecoderNumbers[place]
	out := os.NewFile(9, "results")
	say := func(line string) { out.WriteString(wavecoderMark + " " + strconv.Itoa(number) + " " + line + "\n") }
	time.AfterFunc(wavecoderWait*time.Millisecond, func() { os.Exit(142) })
	line := wavecoderCall(place)
	if len(line) > wavecoderRoom {
		line = "O a value of " + strconv.Itoa(len(line)) + " characters"
	}
	say(line)
	os.Exit(0)
}
