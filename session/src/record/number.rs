//! Numbers that concurrent requests add to: values of `merge = "add"` fields and their differences.

use serde::ser::Error as _;
use serde_json::value::RawValue;

/// The value of a `merge = "add"` field, or a difference that is added to it.
///
/// Whole numbers have 64 bits. Sums saturate: a sum beyond the greatest or the least value is that
/// value.
///
/// # Examples
/// ```
/// use actix_typed_session::store::Number;
///
/// assert_eq!(Number::from(2).saturating_add(3.into()), Number::Int(5));
/// assert_eq!(Number::from(2).saturating_add(0.5.into()), Number::Float(2.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A floating-point number. In a stored record it is never NaN or infinite.
    Float(f64),
}

impl Number {
    /// The sum, which is a floating-point number if one of the two is.
    ///
    /// A sum beyond the greatest or the least value is that value.
    pub fn saturating_add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.saturating_add(b)),
            (a, b) => Self::Float((a.as_f64() + b.as_f64()).clamp(f64::MIN, f64::MAX)),
        }
    }

    /// The difference that must be added to `earlier` to get this number.
    pub(crate) fn since(self, earlier: Self) -> Self {
        match (self, earlier) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.saturating_sub(b)),
            (a, b) => Self::Float((a.as_f64() - b.as_f64()).clamp(f64::MIN, f64::MAX)),
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        match self {
            Self::Int(n) => n == 0,
            Self::Float(n) => n == 0.0,
        }
    }

    /// Reads a JSON number.
    ///
    /// # Errors
    /// The text is not a JSON number.
    pub fn parse(json: &RawValue) -> Result<Self, serde_json::Error> {
        let text = json.get();
        match text.parse::<i64>() {
            Ok(n) => Ok(Self::Int(n)),
            // A whole number beyond `i64` was stored as a `u64`, before the field had `merge =
            // "add"`.
            Err(_) => match serde_json::from_str::<u64>(text) {
                Ok(_) => Ok(Self::Int(i64::MAX)),
                Err(_) => serde_json::from_str(text).map(Self::Float),
            },
        }
    }

    /// The JSON text of this number.
    pub fn to_json(self) -> Box<RawValue> {
        let text = match self {
            Self::Int(n) => n.to_string(),
            Self::Float(n) => serde_json::to_string(&n).expect("a float always has JSON"),
        };
        RawValue::from_string(text).expect("a number is JSON")
    }

    /// This number, or an error if it is NaN or infinite, which JSON cannot express.
    pub(crate) fn checked(self) -> Result<Self, serde_json::Error> {
        match self {
            Self::Float(n) if !n.is_finite() => {
                Err(serde_json::Error::custom("NaN and the infinities are not JSON numbers"))
            }
            number => Ok(number),
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(n) => n,
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

/// The types of `#[session(merge = "add")]` fields: the integers of up to 64 bits, `f32` and `f64`.
///
/// The store keeps the sum of all differences, which may be outside the field's type. If two
/// requests each take the last item of a `u32` stock, the sum is −1. Such a sum reads as the
/// nearest value of the type, here 0.
#[diagnostic::on_unimplemented(
    message = "`merge = \"add\"` needs an integer of up to 64 bits, `f32` or `f64`, but the field's type is `{Self}`",
    label = "values of this type cannot be added up",
    note = "use one of `i8`…`i64`, `u8`…`u64`, `isize`, `usize`, `f32` or `f64`, or choose another merge rule"
)]
pub trait Counter: Copy + 'static {
    #[doc(hidden)]
    fn to_number(self) -> Number;
    #[doc(hidden)]
    fn from_number(number: Number) -> Self;
}

macro_rules! integer_counter {
    ($($integer:ty)*) => {$(
        impl Counter for $integer {
            fn to_number(self) -> Number {
                Number::Int(i64::try_from(self).unwrap_or(i64::MAX))
            }

            fn from_number(number: Number) -> Self {
                match number {
                    Number::Int(n) => Self::try_from(n)
                        .unwrap_or(if n < 0 { Self::MIN } else { Self::MAX }),
                    // OK because a float-to-int cast saturates.
                    Number::Float(n) => n as Self,
                }
            }
        }
    )*};
}

integer_counter!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

macro_rules! float_counter {
    ($($float:ty)*) => {$(
        impl Counter for $float {
            fn to_number(self) -> Number {
                Number::Float(self.into())
            }

            fn from_number(number: Number) -> Self {
                number.as_f64() as Self
            }
        }
    )*};
}

float_counter!(f32 f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Number> {
        let json = RawValue::from_string(text.to_owned()).expect("a JSON literal");
        Number::parse(&json).ok()
    }

    #[test]
    fn whole_numbers_saturate() {
        assert_eq!(Number::Int(i64::MAX).saturating_add(Number::Int(1)), Number::Int(i64::MAX));
        assert_eq!(parse("18446744073709551615"), Some(Number::Int(i64::MAX)));
        assert_eq!(u64::MAX.to_number(), Number::Int(i64::MAX));
    }

    #[test]
    fn a_sum_outside_the_type_reads_as_its_nearest_value() {
        assert_eq!(u32::from_number(Number::Int(-1)), 0);
        assert_eq!(u8::from_number(Number::Int(300)), 255);
        assert_eq!(i8::from_number(Number::Int(-300)), -128);
        assert_eq!(u8::from_number(Number::Float(-0.5)), 0);
    }

    #[test]
    fn only_numbers_parse() {
        assert_eq!(parse("1.5"), Some(Number::Float(1.5)));
        assert_eq!(parse("-3"), Some(Number::Int(-3)));
        assert_eq!(parse("\"3\""), None);
        assert_eq!(parse("null"), None);
    }

    #[test]
    fn a_number_survives_its_json() {
        for number in
            [Number::Int(i64::MIN), Number::Int(0), Number::Float(0.1), Number::Float(1e300)]
        {
            assert_eq!(Number::parse(&number.to_json()).ok(), Some(number));
        }
    }

    #[test]
    fn numbers_without_json_are_refused() {
        assert!(Number::Float(f64::NAN).checked().is_err());
        assert!(Number::Float(f64::INFINITY).checked().is_err());
    }
}
