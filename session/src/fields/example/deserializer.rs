//! Offers a type what it asks for.

use serde::de::{
    DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::StrDeserializer,
};

use super::probe::{Probe, ProbeError};

/// Texts in the forms that types which are stored as text often have.
const TEXTS: &[&str] = &[
    "text",
    "2000-02-29T23:59:58Z",
    "2000-02-29T23:59:58",
    "2000-02-29",
    "23:59:58",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "192.0.2.1",
    "2001:db8::1",
    "192.0.2.1:80",
    "192.0.2.0/24",
    "https://example.com/",
    "a@example.com",
    "7",
    "1.2.3",
    "P1D",
    "1s",
    "en",
    "EUR",
    "c",
    "",
];

macro_rules! numbers {
    ($($method:ident $visit:ident $values:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
            visitor.$visit(self.one_of(&$values)?)
        }
    )*};
}

impl<'de> serde::Deserializer<'de> for &mut Probe {
    type Error = ProbeError;

    numbers! {
        deserialize_i8 visit_i8 [i8::MIN, -1, 1, 0];
        deserialize_i16 visit_i16 [i16::MIN, -1, 1, 0];
        deserialize_i32 visit_i32 [i32::MIN, -1, 1, 0];
        deserialize_i64 visit_i64 [i64::MIN, -1, 1, 0];
        deserialize_i128 visit_i128 [i128::MIN, -1, 1, 0];
        deserialize_u8 visit_u8 [u8::MAX, 1, 0];
        deserialize_u16 visit_u16 [u16::MAX, 1, 0];
        deserialize_u32 visit_u32 [u32::MAX, 1, 0];
        deserialize_u64 visit_u64 [u64::MAX, 1, 0];
        deserialize_u128 visit_u128 [u128::MAX, 1, 0];
        deserialize_f32 visit_f32 [f32::MAX, 0.5, 1.0, 0.0];
        deserialize_f64 visit_f64 [f64::MAX, 0.5, 1.0, 0.0];
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.has_guessed = true;
        match self.choose(4)? {
            0 => visitor.visit_str("text"),
            1 => visitor.visit_u64(7),
            2 => visitor.visit_bool(true),
            _ => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_bool(self.is_full)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_char('c')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_str(self.one_of(TEXTS)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.has_guessed = true;
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_byte_buf(if self.is_full { vec![0, 255] } else { Vec::new() })
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        if self.is_filled() { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.enter(name)?;
        let value = visitor.visit_newtype_struct(&mut *self)?;
        self.leave();
        Ok(value)
    }

    /// Two items, which a set takes for one.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        let left = if self.is_filled() { 2 } else { 0 };
        self.deserialize_tuple(left, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.descend()?;
        let value = visitor.visit_seq(Items { probe: &mut *self, left })?;
        self.ascend();
        Ok(value)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.enter(name)?;
        let value = visitor.visit_seq(Items { probe: &mut *self, left })?;
        self.leave();
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.descend()?;
        let left = usize::from(self.is_filled());
        let value = visitor.visit_map(Items { probe: &mut *self, left })?;
        self.ascend();
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.enter(name)?;
        let value = visitor.visit_map(Members { probe: &mut *self, name, left: fields })?;
        self.leave();
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        self.enter(name)?;
        let variant = self.variant(name, variants)?;
        let value = visitor.visit_enum(Variant { probe: &mut *self, variant })?;
        self.leave();
        Ok(value)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_unit()
    }
}

/// The items of a list or a tuple, or the entries of a map.
struct Items<'a> {
    probe: &'a mut Probe,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ProbeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ProbeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.probe).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_> {
    type Error = ProbeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ProbeError> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ProbeError> {
        seed.deserialize(&mut *self.probe)
    }
}

/// The fields of a struct.
struct Members<'a> {
    probe: &'a mut Probe,
    name: &'static str,
    left: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = ProbeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ProbeError> {
        while let Some((field, left)) = self.left.split_first() {
            self.left = left;
            if !self.probe.other_names.contains(&(self.name, field)) {
                self.probe.last_field = Some((self.name, field));
                return seed.deserialize(StrDeserializer::new(field)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ProbeError> {
        seed.deserialize(&mut *self.probe)
    }
}

/// A variant of an enum.
struct Variant<'a> {
    probe: &'a mut Probe,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = ProbeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), ProbeError> {
        let name = seed.deserialize(StrDeserializer::new(self.variant))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = ProbeError;

    fn unit_variant(self) -> Result<(), ProbeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, ProbeError> {
        seed.deserialize(self.probe)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        visitor.visit_seq(Items { probe: self.probe, left })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        visitor.visit_map(Members { probe: self.probe, name: self.variant, left: fields })
    }
}
