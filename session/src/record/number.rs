//! Numbers that concurrent requests add to: values of `merge = "add"` fields and their differences.

use std::ops::RangeInclusive;

use serde::ser::Error as _;
use serde_json::value::RawValue;

/// The value of a `merge = "add"` field, or a difference that is added to it.
///
/// Sums saturate: a sum beyond the greatest or the least value is that value. A whole number is at
/// least `i64::MIN` and at most `u64::MAX`, so that each integer type of up to 64 bits fits in. A
/// difference of two such numbers can be larger.
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
    Int(i128),
    /// A floating-point number. In a stored record it is never NaN or infinite.
    Float(f64),
}

/// The least and the greatest whole number that is stored.
const WHOLE: RangeInclusive<i128> = i64::MIN as i128..=u64::MAX as i128;

impl Number {
    /// The sum, which is a floating-point number if one of the two is.
    ///
    /// A sum beyond the greatest or the least value is that value.
    pub fn saturating_add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => {
                Self::Int(a.saturating_add(b).clamp(*WHOLE.start(), *WHOLE.end()))
            }
            (a, b) => Self::Float((a.as_f64() + b.as_f64()).clamp(f64::MIN, f64::MAX)),
        }
    }

    /// The difference that is as much as these two differences.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.saturating_add(b)),
            (a, b) => a.saturating_add(b),
        }
    }

    /// The difference that must be added to `earlier` to get this number.
    pub(crate) fn since(self, earlier: Self) -> Self {
        match (self, earlier) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.saturating_sub(b)),
            (a, b) => Self::Float((a.as_f64() - b.as_f64()).clamp(f64::MIN, f64::MAX)),
        }
    }

    /// Whether the two are one number. −0.0 is another number than 0.0.
    pub(crate) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Int(int), Self::Float(float)) | (Self::Float(float), Self::Int(int)) => {
                float == int as f64 && float as i128 == int
            }
        }
    }

    /// Whether it is whole and has 18 digits at most, so that the sum of two is never past a bound.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::Int(n) if n.unsigned_abs() < 10_u128.pow(18))
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
        if let Ok(n) = text.parse::<i64>() {
            return Ok(Self::Int(n.into()));
        }
        match text.parse::<u64>() {
            Ok(n) => Ok(Self::Int(n.into())),
            Err(_) => serde_json::from_str(text).map(Self::Float),
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
        Self::Int(number.into())
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
/// nearest value of the type, here 0. A request that then sets the field to 5 stores 5.
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
                Number::Int(self as i128)
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
                number.as_f64().clamp(Self::MIN.into(), Self::MAX.into()) as Self
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
        let (least, most) = (Number::from(i64::MIN), u64::MAX.to_number());
        assert_eq!(most.saturating_add(Number::Int(1)), most);
        assert_eq!(least.saturating_add(Number::Int(-1)), least);
        assert_eq!(least.saturating_add(most.since(least)), most, "a difference is exact");
        assert_eq!(parse("18446744073709551615"), Some(most));
        assert_eq!(
            parse("18446744073709551616"),
            Some(Number::Float(18_446_744_073_709_551_616.0))
        );
        assert_eq!(u64::from_number(most), u64::MAX);
    }

    #[test]
    fn a_sum_outside_the_type_reads_as_its_nearest_value() {
        assert_eq!(u32::from_number(Number::Int(-1)), 0);
        assert_eq!(u8::from_number(Number::Int(300)), 255);
        assert_eq!(i8::from_number(Number::Int(-300)), -128);
        assert_eq!(u8::from_number(Number::Float(-0.5)), 0);
        assert_eq!(f32::from_number(Number::Float(1e39)), f32::MAX);
        assert_eq!(f32::from_number(Number::Float(f64::MIN)), f32::MIN);
    }

    #[test]
    fn numbers_are_the_same_only_if_nothing_tells_them_apart() {
        let (int, float) = (Number::Int, Number::Float);
        assert!(
            int(5).is_same(int(5)) && int(5).is_same(float(5.0)) && float(0.1).is_same(float(0.1))
        );
        assert!(!float(0.0).is_same(float(-0.0)));
        assert!(!int(1 << 53).is_same(int((1 << 53) + 1)));
        assert!(!int((1 << 53) + 1).is_same(float(9_007_199_254_740_992.0)));
        assert!(!int(i64::MAX.into()).is_same(float(9_223_372_036_854_775_808.0)));
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
        for number in [
            Number::from(i64::MIN),
            u64::MAX.to_number(),
            Number::Int(0),
            Number::Float(0.1),
            Number::Float(1e300),
        ] {
            assert_eq!(Number::parse(&number.to_json()).ok(), Some(number));
        }
    }

    #[test]
    fn numbers_without_json_are_refused() {
        assert!(Number::Float(f64::NAN).checked().is_err());
        assert!(Number::Float(f64::INFINITY).checked().is_err());
    }
}
