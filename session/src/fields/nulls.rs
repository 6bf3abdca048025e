//! Counts the parts of a value that are `null` in JSON, to see whether they read back.
//!
//! JSON has one `null` for `None`, `()`, NaN and the infinities, and a `Some` leaves no trace in
//! it. So `Some(NaN)` and `Some(None)` read back as `None`, which has the same JSON. Their counts
//! differ.

use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

/// How often a value has each of the parts that JSON may confuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    some: usize,
    none: usize,
    unit: usize,
    not_finite: usize,
}

/// Counts the parts of a value.
///
/// # Errors
/// The value's `Serialize` failed.
pub(super) fn count<F: Serialize>(value: &F) -> Result<Count, serde_json::Error> {
    let mut count = Count::default();
    value.serialize(&mut count)?;
    Ok(count)
}

type Done = Result<(), serde_json::Error>;

impl Count {
    fn float(&mut self, is_finite: bool) -> Done {
        self.not_finite += usize::from(!is_finite);
        Ok(())
    }
}

macro_rules! nothing_to_count {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, _: $type) -> Done {
            Ok(())
        }
    )*};
}

impl Serializer for &mut Count {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    nothing_to_count! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_str: &str,
        serialize_bytes: &[u8],
    }

    fn serialize_f32(self, value: f32) -> Done {
        self.float(value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Done {
        self.float(value.is_finite())
    }

    fn serialize_none(self) -> Done {
        self.none += 1;
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.some += 1;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        self.unit += 1;
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Done {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Self::Error> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Self::Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Self::Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Self::Error> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Self::Error> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Self::Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Self::Error> {
        Ok(self)
    }
}

macro_rules! count_the_parts {
    ($($part:ident, $method:ident;)*) => {$(
        impl $part for &mut Count {
            type Ok = ();
            type Error = serde_json::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                value.serialize(&mut **self)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

count_the_parts! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

macro_rules! count_the_fields {
    ($($part:ident)*) => {$(
        impl $part for &mut Count {
            type Ok = ();
            type Error = serde_json::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Done {
                value.serialize(&mut **self)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

count_the_fields!(SerializeStruct SerializeStructVariant);

impl SerializeMap for &mut Count {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Done {
        // A key is never `null`.
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(&mut **self)
    }

    fn end(self) -> Done {
        Ok(())
    }
}
