//! PDUs and command sets written by hand (PS3.8 section 9.3, PS3.7 annex E). It checks nothing: that is the point.

use super::CALLING;

/// Verification.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Instance Availability Notification.
pub const AVAILABILITY: &str = "1.2.840.10008.5.1.4.33";

/// A PDU.
#[must_use]
pub fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    claiming(kind, body.len() as u32, body)
}

/// A PDU that claims a length.
#[must_use]
pub fn claiming(kind: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &length.to_be_bytes(), body].concat()
}

/// An item of an association PDU; its length is cut to the 16 bits that it has.
#[must_use]
pub fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    item_claiming(kind, body.len() as u16, body)
}

/// An item that claims a length.
#[must_use]
pub fn item_claiming(kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &length.to_be_bytes(), body].concat()
}

/// The fixed fields of A-ASSOCIATE-RQ.
#[must_use]
pub fn fixed(version: u16, called: &[u8], calling: &[u8]) -> Vec<u8> {
    let title = |text: &[u8]| {
        let mut title = text.to_vec();
        title.resize(16, b' ');
        title
    };
    [&version.to_be_bytes()[..], &[0, 0], &title(called), &title(calling), &[0; 32]].concat()
}

/// The application context of DICOM.
#[must_use]
pub fn application() -> Vec<u8> {
    item(0x10, b"1.2.840.10008.3.1.1.1")
}

/// A proposed presentation context.
#[must_use]
pub fn context(id: u8, abstract_syntax: &str, transfer_syntaxes: &[&str]) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0];
    body.extend(item(0x30, abstract_syntax.as_bytes()));
    for syntax in transfer_syntaxes {
        body.extend(item(0x40, syntax.as_bytes()));
    }
    item(0x20, &body)
}

/// User information with these sub-items behind the usual ones.
#[must_use]
pub fn user_information(more: &[u8]) -> Vec<u8> {
    let usual = [item(0x51, &16_384_u32.to_be_bytes()), item(0x52, b"2.25.7700"), item(0x55, b"CORPUS")];
    item(0x50, &[&usual.concat()[..], more].concat())
}

/// A-ASSOCIATE-RQ of the hostile peer with these items.
#[must_use]
pub fn request(items: &[Vec<u8>]) -> Vec<u8> {
    pdu(1, &[fixed(1, b"TELERAD", CALLING.as_bytes()), items.concat()].concat())
}

/// A well-formed A-ASSOCIATE-RQ with these contexts, numbered 1, 3, 5 …
#[must_use]
pub fn associate(contexts: &[(&str, &str)]) -> Vec<u8> {
    let mut items = vec![application()];
    for (index, (class, syntax)) in contexts.iter().enumerate() {
        items.push(context(2 * index as u8 + 1, class, &[syntax]));
    }
    items.push(user_information(&[]));
    request(&items)
}

/// A presentation data value; `control` 1 is a command, 2 the last fragment.
#[must_use]
pub fn pdv(context: u8, control: u8, data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32 + 2).to_be_bytes()[..], &[context, control], data].concat()
}

/// P-DATA-TF.
#[must_use]
pub fn data(values: &[Vec<u8>]) -> Vec<u8> {
    pdu(4, &values.concat())
}

/// An element of a command set, padded with a zero.
#[must_use]
pub fn element(number: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    [&[0, 0][..], &number.to_le_bytes(), &(value.len() as u32).to_le_bytes(), &value].concat()
}

/// An element with a number of 16 bits.
#[must_use]
pub fn short(number: u16, value: u16) -> Vec<u8> {
    element(number, &value.to_le_bytes())
}

/// A command set with its group length.
#[must_use]
pub fn command(elements: &[Vec<u8>]) -> Vec<u8> {
    let elements = elements.concat();
    [element(0, &(elements.len() as u32).to_le_bytes()), elements].concat()
}

/// C-ECHO-RQ.
#[must_use]
pub fn echo(message: u16) -> Vec<u8> {
    command(&[
        element(0x0002, VERIFICATION.as_bytes()),
        short(0x0100, 0x0030),
        short(0x0110, message),
        short(0x0800, 0x0101),
    ])
}

/// C-STORE-RQ.
#[must_use]
pub fn store(message: u16, class: &str, instance: &str) -> Vec<u8> {
    command(&[
        element(0x0002, class.as_bytes()),
        short(0x0100, 0x0001),
        short(0x0110, message),
        short(0x0700, 0),
        short(0x0800, 1),
        element(0x1000, instance.as_bytes()),
    ])
}

/// A-RELEASE-RQ.
#[must_use]
pub fn release() -> Vec<u8> {
    pdu(5, &[0; 4])
}

/// A whole conversation that stores one object, without waiting for answers in between: request, C-STORE, data set in fragments.
#[must_use]
pub fn storing(object: &super::Object) -> Vec<u8> {
    const FRAGMENT_BYTES: usize = 16_000;
    let mut bytes = associate(&[(&object.sop_class, &object.transfer_syntax)]);
    bytes.extend(data(&[pdv(1, 3, &store(1, &object.sop_class, &object.sop_instance))]));
    let mut fragments = object.data_set.chunks(FRAGMENT_BYTES).peekable();
    if fragments.peek().is_none() {
        bytes.extend(data(&[pdv(1, 2, b"")]));
    }
    while let Some(fragment) = fragments.next() {
        let control = if fragments.peek().is_none() { 2 } else { 0 };
        bytes.extend(data(&[pdv(1, control, fragment)]));
    }
    bytes
}
