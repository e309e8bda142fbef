import { expect, it } from "vitest";
import { personName } from "./names";

it.each([
  ["Okonkwo^Chiamaka", "Chiamaka Okonkwo"],
  ["Brandt^Hannelore^^Dr^PhD", "Dr Hannelore Brandt PhD"],
  ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Tarou Yamada (山田 太郎)"],
  ["김^민준", "김 민준"],
  ["=山田^太郎", "山田 太郎"],
  ["Dr Hannelore Brandt", "Dr Hannelore Brandt"],
  ["^^", "Name unknown"],
  [" ", "Name unknown"],
  [null, "Name unknown"],
])("%s reads %s", (name, text) => expect(personName(name)).toBe(text));
